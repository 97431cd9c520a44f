"""The kinds of measurement: each puts a load on one server and gives the figures of one round."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from bench.errors import Refused
from bench.figures import Figure
from bench.load import Load
from bench.memory import read_kib
from bench.peers import Peer
from bench.processes import start_load
from bench.stand import Stand, apply_load

_WARM_UP = Load(model="burst-n100", streams=16, answers=5)
_FRESH_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Row(ABC):
    """A measurement. `sample` is called once for each peer in each round, and gives a value for each figure.

    It raises `Refused` where what it saw may not be printed, `StartError` where the peer didn't start. Values beside
    the figures' are kept in the results.
    """

    name: str
    figures: tuple[Figure, ...]

    @abstractmethod
    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        """Measure the peer once."""

    def count_rounds(self, pairs: int) -> int:
        """How many rounds this row takes where `pairs` are asked for."""
        return pairs

    def serves(self, peer: Peer) -> bool:
        """Whether the row says anything about this peer."""
        return peer.name != "direct"

    async def warm_up(self, stand: Stand, peer: Peer) -> None:
        """Make the peer ready for its first round."""
        await apply_load(await stand.find_server(peer), _WARM_UP)


@dataclass(frozen=True, kw_only=True)
class CpuRow(Row):
    """CPU time for each token, or each request, of a load: one figure, in microseconds."""

    load: Load
    each: Literal["token", "request"]

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        reading = await apply_load(await stand.find_server(peer), self.load)
        outcome = reading.outcome
        count = outcome.tokens if self.each == "token" else outcome.answers
        return {
            self.figures[0].name: reading.cpu_ns / 1000 / count,
            "seconds": outcome.seconds,
            "load_busy": outcome.cpu_seconds / outcome.seconds,
        }


@dataclass(frozen=True, kw_only=True)
class DelayRow(Row):
    """The age of a token when the viewer has it: the figures are its median and its 99th percentile, in ms."""

    load: Load

    def serves(self, peer: Peer) -> bool:
        return True

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        outcome = (await apply_load(await stand.find_server(peer), self.load)).outcome
        if outcome.delay_p50_ms is None or outcome.delay_p99_ms is None:
            raise Refused("no token was timed")
        return {
            self.figures[0].name: outcome.delay_p50_ms,
            self.figures[1].name: outcome.delay_p99_ms,
            "load_busy": outcome.cpu_seconds / outcome.seconds,
        }


@dataclass(frozen=True, kw_only=True)
class LengthRow(Row):
    """A token of a long answer against one of a short one: 1 where nothing grows with an answer's length.

    `bare` asks for as many answers as `short`, and for few tokens: what it costs is the requests' and not the tokens'.
    """

    long: Load
    short: Load
    bare: Load

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        server = await stand.find_server(peer)
        long, short, bare = [await apply_load(server, load) for load in (self.long, self.short, self.bare)]
        long_us = long.cpu_ns / 1000 / long.outcome.tokens
        short_us = (short.cpu_ns - bare.cpu_ns) / 1000 / (short.outcome.tokens - bare.outcome.tokens)
        if short_us <= 0:
            raise Refused("the requests alone cost more than requests with tokens: the machine is too busy")
        return {self.figures[0].name: long_us / short_us, "long_us": long_us, "short_us": short_us}


@dataclass(frozen=True, kw_only=True)
class MemoryRow(Row):
    """What each open stream holds, in KiB, on a server that is new but for a warm-up."""

    load: Load

    def count_rounds(self, pairs: int) -> int:
        return min(pairs, _FRESH_ROUNDS)

    async def warm_up(self, stand: Stand, peer: Peer) -> None:
        return

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        async with stand.start_fresh(peer) as server:
            await apply_load(server, _WARM_UP)
            before = read_kib(server.pid)
            async with start_load(self.load, server.ask(self.load.model)) as process:
                process.start()
                await process.wait_until_open()
                open_kib = read_kib(server.pid)
                await process.finish()
        each = (open_kib - before) / self.load.streams
        return {self.figures[0].name: each, "before_kib": before, "open_kib": open_kib}


@dataclass(frozen=True, kw_only=True)
class StartRow(Row):
    """The seconds from a server's start to its first 200."""

    async def warm_up(self, stand: Stand, peer: Peer) -> None:
        async with stand.start_fresh(peer):
            await asyncio.sleep(0)

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        async with stand.start_fresh(peer) as server:
            return {self.figures[0].name: server.started_s}
