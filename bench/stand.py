"""The stand on which servers are measured: the upstream, and each server before it, kept running for a whole run."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from bench.cpu import read_when_quiet, sum_spent
from bench.load import Load, Outcome
from bench.peers import Peer
from bench.processes import Server, start_load, start_redis, start_server, start_upstream
from bench.redis_server import Redis


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one load cost a server, in nanoseconds on a CPU, and what the load saw; all of its answers were whole."""

    cpu_ns: int
    outcome: Outcome


class Stand:
    """An async context: within it servers can be asked for, and all are ended with it."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._servers: dict[str, Server] = {}
        self._upstream_port = 0
        self._redis: Redis | None = None

    async def __aenter__(self) -> Self:
        self._upstream_port = await self._stack.enter_async_context(start_upstream())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def find_server(self, peer: Peer) -> Server:
        """The peer's server, started at the first call."""
        if peer.name not in self._servers:
            self._servers[peer.name] = await self._stack.enter_async_context(self.start_fresh(peer))
        return self._servers[peer.name]

    async def find_redis(self) -> Redis:
        """A Redis for the servers that share, started at the first call; raises `StartError` where there is none."""
        if self._redis is None:
            self._redis = await self._stack.enter_async_context(start_redis())
        return self._redis

    def start_fresh(self, peer: Peer) -> AbstractAsyncContextManager[Server]:
        """A server of its own for one block, as new as it starts."""
        return start_server(peer, self._upstream_port)


async def apply_load(server: Server, load: Load) -> Reading:
    """Put a load on a server and read what it cost; raises `Refused` where an answer was not whole."""
    async with start_load(load, server.ask(load.model)) as process:
        before = await read_when_quiet(server.pid) if server.pid else {}
        process.start()
        outcome = await process.finish()
        after = await read_when_quiet(server.pid) if server.pid else {}
    return Reading(cpu_ns=sum_spent(before, after), outcome=outcome)
