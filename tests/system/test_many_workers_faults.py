"""What several workers and their Redis survive: lost notifications, deaths, pauses, outages."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from tests.nginx import nginx
from tests.reader import Reader, ask
from tests.redis_server import RedisServer, redis_server
from tests.server import RunningServer, running_server
from tests.system.fleet import SSE, STREAM, fleet, stream_id
from tests.waiting import eventually, until

pytestmark = pytest.mark.usefixtures("no_leaks")

LEASE_S: Final = 2.0
SLOW: Final = "simulated/n2000-d100"
OF_A_LOADED_MACHINE_S: Final = 3.0


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """One Redis for all."""
    async with redis_server() as server:
        yield server


def server_of(redis: RedisServer, folder: Path, **more: str) -> Any:
    """A worker in a process of its own, on the same Redis and ledger as a fleet in this folder."""
    env = {"TAILRACE_REDIS_URL": redis.url, "TAILRACE_DATA_DIR": str(folder / "data"), **more}
    return running_server(env=env, config=f'[stream]\nlease = "{LEASE_S:g}s"\n')


class Hopper:
    """A reader that leaves at random, and comes back through the front door with the last id that it has seen."""

    def __init__(self, front: str, name: str, seed: int) -> None:
        self._front = front
        self._name = name
        self._dice = random.Random(seed)
        self.ids: list[str] = []
        self.text = ""
        self.ended = False
        self.hops = 0

    async def read(self) -> None:
        """Until the end."""
        while not self.ended:
            async with Reader(self._front) as reader:
                cursor = {"last-event-id": self.ids[-1]} if self.ids else {}
                await reader.ask("GET", f"/v1/streams/{self._name}", headers={**SSE, **cursor})
                await self._read_some(reader)
            self.hops += 1

    async def _read_some(self, reader: Reader) -> None:
        wanted = self._dice.randrange(1, 25)
        await reader.some(b"\n\n", times=wanted)
        assert reader.answer.status == 200
        for event in reader.answer.events:
            if event.id:
                self.ids.append(event.id)
            told = json.loads(event.data) if event.data.startswith("{") else {}
            self.text += told.get("delta") or ""
            self.ended = self.ended or "finish_reason" in told


async def test_hopping_readers_and_lost_notifications(tmp_path: Path) -> None:
    """Sixty readers that hop at random between three workers behind nginx, each of which loses 2 % of what it is told:
    every reader gets each token once, in order."""
    async with fleet(tmp_path, size=3) as running:
        here = running.workers[0]
        for seed, worker in enumerate(running.workers):
            worker.drop_notifications(0.02, seed)
        urls = [worker.url for worker in running.workers]
        async with nginx(*urls, directives="proxy_buffering off;") as front, Reader(here.url) as first:
            run = await here.begin(first, on_disconnect="continue")
            run.say("begin ")
            name = await stream_id(first)
            hoppers = [Hopper(front, name, seed) for seed in range(60)]
            reading = [asyncio.create_task(hopper.read()) for hopper in hoppers]
            for number in range(200):
                run.say(f"{number} ")
                await asyncio.sleep(0.02)  # the pace of a model
            run.finish()
            await asyncio.wait_for(asyncio.gather(*reading), 20)
            text = "begin " + "".join(f"{number} " for number in range(200))
            assert (await first.whole()).text == text
            assert {hopper.text for hopper in hoppers} == {text}
            assert sum(hopper.hops for hopper in hoppers) > 300
            assert all(len(hopper.ids) == len(set(hopper.ids)) for hopper in hoppers)


async def begin_many(server: RunningServer, stack: AsyncExitStack, count: int, model: str = SLOW) -> list[str]:
    """So many streams that go on without a reader; their names."""
    readers = [await stack.enter_async_context(Reader(server.url)) for _ in range(count)]
    for reader in readers:
        await reader.ask("POST", STREAM, {"message": "Hi", "model": model, "on_disconnect": "continue"})
    return [await stream_id(reader) for reader in readers]


async def follow(url: str, stack: AsyncExitStack, name: str) -> Reader:
    """A reader of a stream, who has its first token."""
    reader = await stack.enter_async_context(Reader(url))
    await reader.ask("GET", f"/v1/streams/{name}", headers=SSE)
    await reader.until(b'"delta"')
    return reader


def is_interrupted(reader: Reader) -> bool:
    """Whether its last event says so."""
    return bool(json.loads(reader.answer.events[-1].data).get("code") == "interrupted")


async def test_a_worker_is_killed(tmp_path: Path, redis: RedisServer) -> None:
    """`kill -9` of a worker that owns 50 streams, with 200 readers elsewhere: within its lease and 2 s each reader has
    all that was logged, then `interrupted`, and each row is settled once."""
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(server_of(redis, tmp_path))
        others = await stack.enter_async_context(fleet(tmp_path, lease_s=LEASE_S, redis=redis))
        urls = [worker.url for worker in others.workers]
        names = await begin_many(owner, stack, 50)
        reading = [follow(urls[number % 2], stack, names[number % 50]) for number in range(200)]
        readers = await asyncio.gather(*reading)
        began = time.monotonic()
        owner.signal(signal.SIGKILL)
        await asyncio.gather(*(reader.whole() for reader in readers))
        assert time.monotonic() - began < LEASE_S + 2 + OF_A_LOADED_MACHINE_S
        assert all(is_interrupted(reader) for reader in readers)
        kept = {name: (await others.workers[0].ask("GET", f"/v1/streams/{name}")).json() for name in names}
        for number, reader in enumerate(readers):
            assert reader.answer.text == kept[names[number % 50]]["text"]
        assert {state["status"] for state in kept.values()} == {"interrupted"}
        assert {row.status for row in await others.settled(50)} == {"interrupted"}


async def test_a_paused_worker(tmp_path: Path, redis: RedisServer) -> None:
    """A worker that sleeps past its lease and wakes up again can add nothing to its log, tell no reader elsewhere
    anything, and settles nothing: the row stays as it was settled without it; it closes its upstream and serves on."""
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(server_of(redis, tmp_path))
        others = await stack.enter_async_context(fleet(tmp_path, lease_s=LEASE_S, redis=redis))
        (name,) = await begin_many(owner, stack, 1)
        reader = await follow(others.workers[0].url, stack, name)
        owner.signal(signal.SIGSTOP)
        await reader.whole()
        assert is_interrupted(reader)
        before = await others.settled()
        kept = await others.workers[1].ask("GET", f"/v1/streams/{name}")
        owner.signal(signal.SIGCONT)
        await until(lambda: "stream_lost" in {line.get("event") for line in owner.logs()})
        await eventually(
            lambda: ask(owner.url, "GET", f"/v1/streams/{name}"), lambda state: state.json()["status"] == "interrupted"
        )
        again = await others.workers[1].ask("GET", f"/v1/streams/{name}")
        assert again.json() == kept.json()
        assert await others.rows() == before
        assert before[0].status == "interrupted"
        after = await ask(owner.url, "POST", "/v1/chat", {"message": "Hi", "model": "simulated/n3-d1"})
        assert after.status == 200


@pytest.mark.parametrize("is_empty", [False, True], ids=["kept", "empty"])
async def test_redis_is_away(tmp_path: Path, redis: RedisServer, is_empty: bool) -> None:
    """Redis stops in mid-stream and comes back, with what it held or empty: no answer dies, no reader on the worker
    that makes it notices, who comes back elsewhere meanwhile is told to try again, and then the log is whole again."""
    async with fleet(tmp_path, lease_s=LEASE_S, redis=redis) as running:
        here, there = running.workers
        async with Reader(here.url) as first, Reader(there.url) as second:
            run = await here.begin(first)
            run.say("one ")
            name = await stream_id(first)
            await second.ask("GET", f"/v1/streams/{name}", headers=SSE)
            await second.until(b"one")
            cursor = second.answer.events[-1].id
            await redis.stop(empty=is_empty)
            for number in range(50):
                run.say(f"{number} ")
                await asyncio.sleep(0.1)  # the outage of five seconds that is claimed
            assert first.answer.text == "one " + "".join(f"{number} " for number in range(50))
            away = await there.ask("POST", STREAM, {"message": "x"}, **{"last-event-id": f"gen_{'0' * 24}.1"})
            assert (away.status, away.body[:6]) == (200, b"retry:")
            await redis.start()
            run.say("end")
            await second.until(b'"end"')
            run.finish()
            assert (await second.whole()).text == (await first.whole()).text
        await here.store.flush()
        again = await there.ask("POST", STREAM, {"message": "x"}, **{"last-event-id": cursor})
        assert again.text == "".join(f"{number} " for number in range(50)) + "end"
        assert len(here.tap.runs) == 1
        (row,) = await running.settled()
        assert row.status == "finished"
