"""Measurements of several workers that share a Redis: tailrace's own, for nginx has nothing to set against them."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import msgspec

from bench.cpu import read_when_quiet, sum_spent
from bench.errors import Refused
from bench.load import Load, Outcome
from bench.measures import Row
from bench.memory import read_kib
from bench.peers import Peer, SharedTailrace, Tailrace
from bench.processes import Server, start_load
from bench.redis_server import Redis
from bench.results import SUBJECT
from bench.stand import Reading, Stand, apply_load

_WARM_UP = Load(model="burst-n100", streams=16, answers=5)
_FRESH_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class SharedRow(Row):
    """A row about tailrace alone, on servers that are new but for a warm-up."""

    def serves(self, peer: Peer) -> bool:
        return peer.name == SUBJECT

    def count_rounds(self, pairs: int) -> int:
        return min(pairs, _FRESH_ROUNDS)

    async def warm_up(self, stand: Stand, peer: Peer) -> None:
        await stand.find_redis()


@dataclass(frozen=True, kw_only=True)
class LogRow(SharedRow):
    """CPU a token with the streams kept in Redis, against the same kept in SQLite: one figure, a ratio."""

    load: Load

    def count_rounds(self, pairs: int) -> int:
        return pairs

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        redis = await stand.find_redis()
        sqlite_us = await _measure(stand, Tailrace(), self.load)
        redis_us = await _measure(stand, SharedTailrace(redis), self.load)
        return {self.figures[0].name: redis_us / sqlite_us, "sqlite_us": sqlite_us, "redis_us": redis_us}


@dataclass(frozen=True, kw_only=True)
class WorkersRow(SharedRow):
    """CPU a token of two workers with twice the streams, against one worker's: 1 where they cost each other nothing."""

    load: Load

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        redis = await stand.find_redis()
        double = msgspec.structs.replace(self.load, streams=2 * self.load.streams)
        one_us = await _measure(stand, SharedTailrace(redis), self.load)
        two_us = await _measure(stand, SharedTailrace(redis, workers=2), double)
        return {
            self.figures[0].name: two_us / one_us,
            "one_us": one_us,
            "two_us": two_us,
            "streams_at_the_same_cost": 2 * one_us / two_us,
        }


@dataclass(frozen=True, kw_only=True)
class ReadersRow(SharedRow):
    """One worker whose readers follow the streams of another: memory for each in KiB, the tokens' age at p99 in ms.

    Each reader asks for a stream that runs already, and is timed from then on.
    """

    writing: Load
    reading: Load

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        redis = await stand.find_redis()
        with tempfile.TemporaryDirectory(prefix="bench-data-") as data:
            async with AsyncExitStack() as stack:
                shared = SharedTailrace(redis, data=Path(data))
                writer, reader = [await stack.enter_async_context(stand.start_fresh(shared)) for _ in range(2)]
                await apply_load(reader, _WARM_UP)
                return await self._watch(writer, reader, redis)

    async def _watch(self, writer: Server, reader: Server, redis: Redis) -> dict[str, float]:
        before_kib, before_cpu = read_kib(reader.pid), await read_when_quiet(reader.pid)
        async with start_load(self.writing, writer.ask(self.writing.model)) as streams:
            streams.start()
            await streams.wait_until_open()
            targets = await asyncio.to_thread(_list_streams, writer.port, self.writing.streams)
            ask = msgspec.structs.replace(reader.ask(self.reading.model), targets=targets)
            async with start_load(self.reading, ask) as readers:
                readers.start()
                await readers.wait_until_open()
                open_kib, subscribers = read_kib(reader.pid), await redis.count_subscribers()
                outcome, _ = await asyncio.gather(readers.finish(), streams.finish())
        spent = sum_spent(before_cpu, await read_when_quiet(reader.pid))
        if outcome.delay_p99_ms is None or outcome.delay_p50_ms is None:
            raise Refused("no token was timed")
        return {
            self.figures[0].name: (open_kib - before_kib) / self.reading.streams,
            self.figures[1].name: outcome.delay_p99_ms,
            self.figures[2].name: subscribers / 2,
            "delay_p50": outcome.delay_p50_ms,
            "reader_us_a_token": spent / 1000 / outcome.tokens,
            "load_busy": _busy(outcome),
        }


def _list_streams(port: int, count: int) -> tuple[str, ...]:
    """Where the newest streams can be read."""
    with urlopen(f"http://127.0.0.1:{port}/v1/streams?limit={count}", timeout=10) as answer:
        listed = msgspec.json.decode(answer.read())["data"]
    if len(listed) != count:
        raise Refused(f"{len(listed)} of {count} streams were listed")
    return tuple(f"/v1/streams/{stream['id']}" for stream in listed)


def _busy(outcome: Outcome) -> float:
    return outcome.cpu_seconds / outcome.seconds


async def _measure(stand: Stand, peer: Peer, load: Load) -> float:
    """CPU a token, in microseconds, on a server of its own."""
    async with stand.start_fresh(peer) as server:
        await apply_load(server, _WARM_UP)
        return _us_a_token(await apply_load(server, load))


def _us_a_token(reading: Reading) -> float:
    return reading.cpu_ns / 1000 / reading.outcome.tokens
