"""Our own transport: keeps connections to one origin alive and reuses the warmest."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final

from tailrace.errors import UpstreamError
from tailrace.providers.transport.base import Receiver, Transport
from tailrace.providers.transport.connection import Connection
from tailrace.providers.transport.dialling import dial
from tailrace.providers.transport.origin import Origin
from tailrace.providers.transport.requests import HeadWriter

IDLE_S: Final = 60.0
"""How long an unused connection is kept."""


class PooledTransport(Transport):
    """Exchanges on kept-alive connections, a new one wherever none is idle.

    A server may close an idle connection in the instant in which a request is sent on it. Such a loss is seen by a
    *reused* connection ending before any byte of an answer, and only then the request is sent once more, on a fresh
    connection. That is safe enough even for a POST: a server that closes an idle connection has not read the
    request, and one that had read it would have had to die without a word on a connection that had worked before.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        connect_s: float,
        tls: ssl.SSLContext | None = None,
        max_connections: int | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        self._origin = origin
        self._heads = HeadWriter(origin)
        self._where = str(origin)
        self._connect_s = connect_s
        self._tls = tls
        self._slots = asyncio.Semaphore(max_connections) if max_connections else None
        self._idle_s = idle_s
        self._idle: dict[Connection, float] = {}  # oldest first, with the time since when
        self._connections: set[Connection] = set()
        self._dialling: set[asyncio.Timeout] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._gone = asyncio.Event()

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for limit in tuple(self._dialling):
            if not limit.expired():
                limit.reschedule(self._loop.time())
        for connection in tuple(self._connections):
            connection.abort()
        self._note_gone()
        await self._gone.wait()

    async def exchange(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, receiver: Receiver
    ) -> None:
        head = self._heads.write(method, path, headers, body)
        if self._slots is None:
            await self._exchange(head, body, receiver)
        else:
            async with self._slots:
                await self._exchange(head, body, receiver)

    # What connections tell.

    def made(self, connection: Connection) -> None:
        self._connections.add(connection)

    def freed(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            return
        self._idle[connection] = self._loop.time()
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_s, self._close_idle)

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._idle.pop(connection, None)
        self._note_gone()

    # The pool itself.

    async def _exchange(self, head: bytes, body: bytes | None, receiver: Receiver) -> None:
        connection = self._take_idle()
        if connection is not None:
            try:
                await connection.exchange(head, body, receiver)
            except UpstreamError:
                if connection.heard:
                    raise
            else:
                return
        connection = await self._connect()
        await connection.exchange(head, body, receiver)

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if not connection.closing:
                return connection
        return None

    def _close_idle(self) -> None:
        self._sweep = None
        limit = self._loop.time() - self._idle_s
        for connection, since in list(self._idle.items()):
            if since > limit:
                self._sweep = self._loop.call_at(since + self._idle_s, self._close_idle)
                return
            del self._idle[connection]
            connection.abort()

    async def _connect(self) -> Connection:
        limit = asyncio.timeout(self._connect_s)
        self._dialling.add(limit)
        try:
            async with limit:
                self._refuse_closed()
                return await dial(self._origin, self._tls, self._make)
        except TimeoutError:
            self._refuse_closed()
            message = f"no connection to {self._where} within {self._connect_s:g} s"
            raise UpstreamError("connect_timeout", message) from None
        finally:
            self._dialling.discard(limit)
            self._note_gone()

    def _make(self) -> Connection:
        return Connection(self._where, self)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise UpstreamError("upstream_cut", f"the transport to {self._where} was closed")

    def _note_gone(self) -> None:
        if self._closed and not self._connections and not self._dialling:
            self._gone.set()
