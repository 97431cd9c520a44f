"""Logs in Redis: what it must be, how many share one, and what its troubles do to those who read and write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from structlog.testing import capture_logs
from tests.redis_server import RedisServer, redis_server
from tests.streamlog.redis.shelf import ID, RedisShelf, client, said
from tests.streamlog.specimens import END, STARTED, texts
from tests.streamlog.test_ring import Watcher
from tests.waiting import eventually, until

from tailrace.errors import StoreError
from tailrace.events import Failed
from tailrace.streamlog import RingLog
from tailrace.streamlog.redis import names, scribe
from tailrace.streamlog.redis.mirrors import QUIET_S, MirrorLog

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """One that a test may do anything to."""
    async with redis_server() as server:
        yield server


@asynccontextmanager
async def workers(redis: RedisServer, count: int, *, lease_s: float = 15.0) -> AsyncIterator[list[RedisShelf]]:
    """So many at once."""
    async with AsyncExitStack() as stack:
        shelves = [RedisShelf(redis.url, lease_s=lease_s) for _ in range(count)]
        for shelf in shelves:
            await shelf.open()
            stack.push_async_callback(shelf.close)
        yield shelves


async def mirrored(shelf: RedisShelf) -> MirrorLog:
    """The log as another worker's reader sees it."""
    found = await shelf.store.find(ID)
    assert isinstance(found, MirrorLog)
    return found


# How it is kept


async def test_it_goes_by_itself(redis: RedisServer) -> None:
    """An ended log has the time that it is kept for, a running one more than a day; the keys of one share a tag."""
    async with workers(redis, 1) as (shelf,), client(redis) as asking:
        log = shelf.create(ID, STARTED)
        await shelf.store.flush()
        assert 86_400 < await asking.ttl(names.log_key(ID)) <= 86_400 + shelf.KEEP_S
        log.append(END)
        await shelf.store.flush()
        assert 0 < await asking.ttl(names.log_key(ID)) <= shelf.KEEP_S
        assert names.log_key(ID).partition(b"}")[0] == names.state_key(ID).partition(b"}")[0]


async def test_what_comes_meanwhile_goes_together(redis: RedisServer) -> None:
    """While one append is under way the next ones gather: a thousand tokens in a row are a few records."""
    async with workers(redis, 1) as (shelf,), client(redis) as asking:
        log = shelf.create(ID, STARTED)
        for number in range(1000):
            log.append(texts(str(number)))
        await shelf.store.flush()
        assert await asking.xlen(names.log_key(ID)) <= 4


async def test_large_entries(redis: RedisServer) -> None:
    """What is large goes in several records, of a mebibyte or so each, and is read whole."""
    async with workers(redis, 2) as (writer, reader), client(redis) as asking:
        log = writer.create(ID, STARTED, *texts(*(str(number) * 100_000 for number in range(10, 60))), *END)
        await writer.store.flush()
        assert 8 < await asking.xlen(names.log_key(ID)) < 40
        assert said(await reader.store.find(ID)) == said(log)


async def test_scripts_that_were_forgotten(redis: RedisServer) -> None:
    """Redis forgets the scripts: they are loaded again and nothing is lost."""
    async with workers(redis, 2) as (writer, reader), client(redis) as asking:
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        await asking.script_flush()
        log.append([*texts("a"), *END])
        await writer.store.flush()
        assert said(await reader.store.find(ID)) == [STARTED, *texts("a"), *END]


# Many readers


async def test_one_mirror_for_all(redis: RedisServer) -> None:
    """However many read a log on another worker, it is one copy there and one subscription on one connection."""
    async with workers(redis, 2) as (writer, shelf), client(redis) as asking:
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        mirror = await mirrored(shelf)
        watchers = [Watcher(mirror) for _ in range(100)]
        for watcher in watchers:
            mirror.attach(watcher)
        assert await shelf.store.find(ID) is mirror
        log.append(texts("a"))
        await until(lambda: all(watcher.seen == [2] for watcher in watchers))
        assert await asking.pubsub_numsub(names.channel(ID)) == [(names.channel(ID), 1)]
        listening = [one for one in await asking.client_list() if one["flags"] == "P"]
        assert len(listening) == len([writer, shelf])


async def test_a_mirror_without_readers(redis: RedisServer) -> None:
    """It is dropped a while after its last reader; one who had found it just before still gets all of it."""
    async with workers(redis, 2) as (writer, shelf), client(redis) as asking:
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        mirror = await mirrored(shelf)
        watcher = Watcher(mirror)
        mirror.attach(watcher)
        mirror.detach(watcher)
        assert mirror.tick(0.0)
        assert not mirror.tick(QUIET_S)
        await eventually(lambda: asking.pubsub_numsub(names.channel(ID)), lambda found: found[0][1] == 0)
        mirror.attach(watcher)
        log.append([*texts("a"), *END])
        await until(lambda: mirror.terminal is not None)
        assert said(mirror) == [STARTED, *texts("a"), *END]


async def test_a_connection_that_is_lost(redis: RedisServer) -> None:
    """All connections are cut in mid-stream: writer and reader make new ones, and nothing is missing or twice."""
    async with workers(redis, 2) as (writer, shelf), client(redis) as asking:
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        mirror = await mirrored(shelf)
        for number in range(20):
            log.append(texts(str(number)))
            if number % 5 == 0:
                await asking.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asking.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        log.append(END)
        await until(lambda: mirror.terminal is not None)
        assert said(mirror) == [STARTED, *texts(*map(str, range(20))), *END]


async def test_readers_whose_worker_died(redis: RedisServer) -> None:
    """They count as gone when their worker has said nothing for the time of a lease."""
    async with workers(redis, 1, lease_s=2) as (writer,):
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        left: list[int] = []
        log.on_abandoned = lambda: left.append(log.viewers)
        shelf = RedisShelf(redis.url)
        await shelf.open()
        mirror = await mirrored(shelf)
        for _ in range(3):
            mirror.attach(Watcher(mirror))
        await until(lambda: log.viewers == 3)
        await shelf.redis.die()
        await until(lambda: left == [0])


class Witness:
    """An author that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def stop(self, log_id: str) -> None:
        self.told.append(("stop", log_id))

    def lose(self, log_id: str) -> None:
        self.told.append(("lose", log_id))

    def inherit(self, log_id: str) -> None:
        self.told.append(("inherit", log_id))


async def test_before_a_row_is_settled(redis: RedisServer) -> None:
    """A worker that has been silent for its lease learns, before it settles a row, that its log was taken over; who
    took it over is told to settle that row; and one that was never silent is not held up."""
    async with workers(redis, 2, lease_s=1) as (writer, heir):
        witnesses = Witness(), Witness()
        for shelf, witness in zip((writer, heir), witnesses, strict=True):
            shelf.store.serve(witness)
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        await writer.redis.confirm(log)
        await writer.redis.sleep()
        await until(lambda: witnesses[1].told == [("inherit", ID)])
        writer.redis.wake()
        log.append(END)
        await writer.store.confirm(log)
        assert witnesses[0].told == [("lose", ID)]
        found = await heir.store.find(ID)
        assert said(found)[0] == STARTED
        assert found is not None
        assert found.torn


# Troubles


async def test_out_of_memory(redis: RedisServer) -> None:
    """A Redis that takes nothing more is said once; the answer goes on in memory and is written when there is room."""
    async with workers(redis, 2) as (writer, shelf), client(redis) as asking:
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        await asking.config_set("maxmemory", "1")
        with capture_logs() as logs:
            log.append(texts("a"))
            await until(lambda: "failed" in writer.outcomes)
            log.append([*texts("b"), *END])
            await until(lambda: writer.outcomes.count("failed") > 1)
            await asking.config_set("maxmemory", "0")
            await until(lambda: writer.outcomes[-1] == "written")
        assert [line["event"] for line in logs] == ["streams_not_kept", "streams_kept_again"]
        assert said(await shelf.store.find(ID)) == [STARTED, *texts("a", "b"), *END]


async def test_a_frozen_redis(redis: RedisServer) -> None:
    """One that stands still for a second holds up no append, and then has everything."""
    async with workers(redis, 2) as (writer, shelf):
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        redis.freeze()
        for number in range(100):
            log.append(texts(str(number)))
        await asyncio.sleep(1)  # the second that is claimed
        redis.thaw()
        log.append(END)
        await writer.store.flush()
        assert said(await shelf.store.find(ID)) == [STARTED, *texts(*map(str, range(100))), *END]


async def test_nothing_is_found_while_it_is_away(redis: RedisServer) -> None:
    """Looking for a log, or listing, is a StoreError then; what this worker writes it still finds."""
    async with workers(redis, 1) as (shelf,):
        log = shelf.create(ID, STARTED)
        await shelf.store.flush()
        await redis.stop()
        assert await shelf.store.find(ID) is log
        with pytest.raises(StoreError):
            await shelf.store.find("gen_000000000000000000000002")
        with pytest.raises(StoreError):
            await shelf.list()
        await redis.start()


async def test_an_end_that_was_given_up(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Redis is away for longer than memory keeps an ended answer, its log is sealed as torn when it is back."""
    monkeypatch.setattr(scribe, "LINGER_S", 0.0)
    async with workers(redis, 2, lease_s=1) as (writer, shelf):
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        await redis.stop()
        log.append([*texts("lost"), *END])
        await until(lambda: writer.redis.get_followed(ID) is None)
        await redis.start()

        async def look() -> RingLog | None:
            try:
                return await shelf.store.find(ID)
            except StoreError:
                return None

        found = await eventually(look, lambda log: log is not None and log.terminal is not None)
        assert said(found)[0] == STARTED
        assert isinstance(said(found)[-1], Failed)


async def test_a_log_that_is_nowhere_any_more(redis: RedisServer) -> None:
    """Redis is emptied and the writer dead: after the time of a lease the mirror's readers are told so."""
    async with workers(redis, 1, lease_s=1) as (shelf,):
        writer = RedisShelf(redis.url, lease_s=1)
        await writer.open()
        writer.create(ID, STARTED, *texts("a"))
        await writer.store.flush()
        mirror = await mirrored(shelf)
        await writer.redis.die()
        async with client(redis) as asking:
            await asking.flushall()
        await until(lambda: mirror.terminal is not None)
        assert said(mirror)[:2] == [STARTED, *texts("a")]
        assert mirror.torn


async def test_after_an_outage_nobody_is_buried_at_once(redis: RedisServer) -> None:
    """Leases run out while Redis is away. Those that come back within the time of one find their logs untouched."""
    async with workers(redis, 2, lease_s=1) as (writer, shelf):
        log = writer.create(ID, STARTED)
        await writer.store.flush()
        mirror = await mirrored(shelf)
        await redis.stop()
        await asyncio.sleep(1.5)  # longer than the lease: the claim is about time itself
        await redis.start()
        log.append([*texts("a"), *END])
        await until(lambda: mirror.terminal is not None)
        assert said(mirror) == [STARTED, *texts("a"), *END]
