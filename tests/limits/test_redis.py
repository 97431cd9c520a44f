"""Limits in Redis: counted together by all workers, given back by those that die, and never a reason to refuse."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from redis.asyncio import Redis as Client
from structlog.testing import capture_logs
from tests.contracts.limiting import refused
from tests.redis_server import RedisServer, redis_server
from tests.waiting import eventually, until

from tailrace.errors import RequestError
from tailrace.limits import Lease, Limits, Quota
from tailrace.limits.redis import RedisLimits
from tailrace.streamlog.redis.line import Redis

QUOTA: Final = Quota(rpm=600, tpm=60_000, max_streams=4)
SHORT_S: Final = 0.6


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@asynccontextmanager
async def worker(
    server: RedisServer, *, lease_s: float = 15.0, checks: Counter[tuple[str, str]] | None = None
) -> AsyncIterator[RedisLimits]:
    """One worker's limits."""
    counts = Counter[tuple[str, str]]() if checks is None else checks
    limits = RedisLimits(
        Redis(server.url), lease_s=lease_s, on_check=lambda counted, outcome: counts.update([(counted, outcome)])
    )
    await limits.open()
    try:
        yield limits
    finally:
        await limits.close()


@asynccontextmanager
async def asking(server: RedisServer) -> AsyncIterator[Any]:
    """A client, to look what Redis holds."""
    async with Client.from_url(server.url) as client:
        yield client


async def attempt(limits: Limits, quota: Quota = QUOTA) -> Lease | None:
    """A lease, or None where it is refused."""
    with contextlib.suppress(RequestError):
        return await limits.acquire("key", quota, tokens=1)
    return None


async def left(limits: Limits, kind: str = "tokens") -> int:
    """What the key has left."""
    lease = await limits.acquire("key", QUOTA, tokens=0)
    await lease.cancel()
    return int(lease.headers[f"x-ratelimit-remaining-{kind}"])


@pytest.mark.usefixtures("no_leaks")
async def test_workers_count_together(server: RedisServer) -> None:
    """What one worker gives out another knows at once: streams, requests and tokens, and the truth about them."""
    async with worker(server) as one, worker(server) as two:
        leases = [await limits.acquire("key", QUOTA, tokens=1000) for limits in (one, two, one, two)]
        assert leases[3].headers["x-ratelimit-remaining-requests"] == "596"
        assert leases[3].headers["x-ratelimit-limit-tokens"] == "60000"
        for limits in (one, two):
            assert (await refused(limits, QUOTA)).code == "too_many_streams"
        await leases[0].settle(31_000)
        # The levels rise by 1,000 tokens a second meanwhile
        assert 26_000 <= await left(two) < 60_000 - 31_000 - 3000 + 20_000
        await leases[1].cancel()
        assert await attempt(one) is not None


async def test_a_hundred_at_once_over_two_workers(server: RedisServer) -> None:
    """Of a hundred requests at once, over two workers, exactly as many pass as may."""
    async with worker(server) as one, worker(server) as two:
        results = await asyncio.gather(*(attempt(limits, Quota(max_streams=7)) for limits in (one, two) * 50))
        assert sum(result is not None for result in results) == 7


async def test_streams_of_a_worker_that_died_come_back(server: RedisServer) -> None:
    """A worker that is silent for a lease has no streams any more; one that lives keeps its own for as long as they
    run."""
    async with worker(server, lease_s=SHORT_S) as alive:
        dead = RedisLimits(Redis(server.url), lease_s=SHORT_S)
        await dead.open()
        await alive.acquire("key", QUOTA, tokens=1)
        for _ in range(3):
            await dead.acquire("key", QUOTA, tokens=1)
        await refused(alive, QUOTA)
        await vanish(dead)
        leases: list[Lease | None] = []
        while len(leases) < 3:
            leases.extend([lease for lease in [await attempt(alive)] if lease])
            await asyncio.sleep(0.01)
        await asyncio.sleep(2 * SHORT_S)
        assert (await refused(alive, QUOTA)).code == "too_many_streams"


async def vanish(limits: RedisLimits) -> None:
    """Go without a word, as a killed process does."""
    counter = limits._counter
    assert counter._task is not None
    counter._task.cancel()
    await asyncio.gather(counter._task, return_exceptions=True)
    await counter._line.close()


async def test_an_outage_refuses_nobody(server: RedisServer) -> None:
    """Redis gone: each worker goes on with what it gave out itself, says so once, and its checks are counted apart."""
    checks = Counter[tuple[str, str]]()
    async with worker(server, checks=checks) as one, worker(server) as two:
        kept = [await one.acquire("key", QUOTA, tokens=1) for _ in range(3)]
        with capture_logs() as logs:
            await server.stop()
            assert await attempt(one) is not None
            assert (await refused(one, QUOTA)).code == "too_many_streams"
            await kept[0].settle(10)
            assert await attempt(one) is not None
            assert await attempt(two) is not None
        assert [log["event"] for log in logs] == ["limits_not_shared"] * 2
        assert checks == {("redis", "passed"): 3, ("memory", "passed"): 2, ("memory", "refused"): 1}


@pytest.mark.parametrize("empty", [False, True])
async def test_after_an_outage_all_is_shared_again(server: RedisServer, empty: bool) -> None:
    """Redis back, kept or empty: the streams that run are known to all again, those that were taken meanwhile too, and
    what ended meanwhile is not; tokens that were spent are."""
    async with worker(server) as one, worker(server) as two:
        before = [await one.acquire("key", QUOTA, tokens=1) for _ in range(2)]
        await server.stop(empty=empty)
        during = await one.acquire("key", QUOTA, tokens=1)
        spent = await one.acquire("key", QUOTA, tokens=1)
        await spent.settle(200_000)
        await before[0].settle(1)
        with capture_logs() as logs:
            await server.start()
            await until(lambda: not one._counter._down)
            # Its own connection is gone as well, which it finds out when it next asks
            await (await two.acquire("key", Quota(max_streams=9), tokens=1)).cancel()
            await until(lambda: not two._counter._down)
        assert "limits_shared_again" in [log["event"] for log in logs]
        refusal = await refused(two, QUOTA)
        assert refusal.headers["x-ratelimit-remaining-tokens"] == "0"
        rest = Quota(max_streams=4)
        found = [await attempt(two, rest) for _ in range(4)]
        assert sum(lease is not None for lease in found) == 2, "two of the four run on the other worker"
        await during.settle(1)
        assert await attempt(two, rest) is not None


async def test_a_redis_that_hangs_holds_nobody_up(server: RedisServer) -> None:
    """A Redis that answers nothing costs a request half a second once, and those that follow nothing."""
    async with worker(server) as limits:
        server.freeze()
        try:
            async with asyncio.timeout(2.5):
                first = await limits.acquire("key", QUOTA, tokens=1)
            async with asyncio.timeout(0.4):
                for _ in range(3):
                    await limits.acquire("key", QUOTA, tokens=1)
                await first.settle(5)
        finally:
            server.thaw()
        await until(lambda: not limits._counter._down)
        assert await attempt(limits) is not None
        assert (await refused(limits, QUOTA)).code == "too_many_streams"


async def test_a_redis_that_is_away_at_the_start(server: RedisServer) -> None:
    """Limits open without Redis, and are shared once it comes."""
    await server.stop()
    async with worker(server) as limits:
        lease = await limits.acquire("key", QUOTA, tokens=1)
        await server.start()
        await until(lambda: not limits._counter._down)
        async with worker(server) as other:
            assert [await attempt(other) is not None for _ in range(4)] == [True] * 3 + [False]
        await lease.settle(1)


async def test_a_redis_that_is_full(server: RedisServer) -> None:
    """A Redis without memory left refuses to count; the worker counts for itself."""
    async with worker(server) as limits, asking(server) as client:
        await client.config_set("maxmemory", "1")
        assert [await attempt(limits) is not None for _ in range(5)] == [True] * 4 + [False]
        await client.config_set("maxmemory", "0")
        await until(lambda: not limits._counter._down)


async def test_scripts_that_redis_forgot(server: RedisServer) -> None:
    """After SCRIPT FLUSH the worker counts for itself for a moment, then together with the others again."""
    async with worker(server) as limits, asking(server) as client:
        await client.script_flush()
        leases = [await limits.acquire("key", QUOTA, tokens=1) for _ in range(3)]
        await until(lambda: not limits._counter._down)
        async with worker(server) as other:
            assert [await attempt(other) is not None for _ in range(2)] == [True, False]
        assert len(leases) == 3


async def test_who_leaves_while_asking_takes_nothing(server: RedisServer) -> None:
    """A request that is given up while Redis counts it costs neither a stream nor a request nor a token for long."""
    async with worker(server, lease_s=SHORT_S) as limits:
        for _ in range(20):
            asked = asyncio.create_task(limits.acquire("key", Quota(max_streams=1, tpm=60), tokens=60))
            await asyncio.sleep(0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        await eventually(
            lambda: attempt(limits, Quota(max_streams=1, tpm=60)), lambda lease: lease is not None, within=5
        )


async def test_what_is_whole_again_is_forgotten(server: RedisServer) -> None:
    """Redis keeps a key's counts no longer than they say anything."""
    async with worker(server) as limits, asking(server) as client:
        lease = await limits.acquire("key", Quota(rpm=600, tpm=60_000, max_streams=1), tokens=500)
        assert 14_000 < await client.pttl("tailrace:limits:key") <= 16_000
        await lease.settle(20_500)
        assert 19_000 < await client.pttl("tailrace:limits:key") <= 22_000
        await limits.acquire("other", Quota(max_streams=1), tokens=1)
        await limits.close()
        assert await client.pttl("tailrace:limits:other") <= 1002


async def test_without_limits_redis_is_not_asked(server: RedisServer) -> None:
    """A key without limits costs Redis nothing."""
    async with worker(server) as limits, asking(server) as client:
        lease = await limits.acquire("key", Quota(), tokens=5)
        assert lease.headers == {}
        await lease.settle(5)
        assert await client.keys("*") == []
