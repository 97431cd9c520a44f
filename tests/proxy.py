"""A small real HTTP proxy: `CONNECT` for tunnels, absolute targets for plain requests, one request a connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

DEADLINE_S = 10.0


class Proxy:
    """Runs on an ephemeral port of the loopback; `asked` has the first line of each request it got.

    With `status` it refuses everything; with `credentials`, the value that `Proxy-Authorization` must have, all else.
    """

    def __init__(self, *, status: int | None = None, credentials: str | None = None, silent: bool = False) -> None:
        self._status = status
        self._credentials = credentials
        self._silent = silent
        self._clients: set[_Client] = set()
        self._empty = asyncio.Event()
        self.asked: list[str] = []

    @property
    def port(self) -> int:
        return cast("int", self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for client in list(self._clients):
            client.abort()
        async with asyncio.timeout(DEADLINE_S):
            while self._clients:
                self._empty.clear()
                await self._empty.wait()

    def refusal(self, head: dict[str, str]) -> bytes | None:
        """The answer to a request that this proxy won't serve."""
        if self._status is not None:
            return f"HTTP/1.1 {self._status} Refused\r\nContent-Length: 0\r\n\r\n".encode()
        if self._credentials is not None and head.get("proxy-authorization") != self._credentials:
            return b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
        return None

    @property
    def silent(self) -> bool:
        return self._silent

    def opened(self, client: _Client) -> None:
        self._clients.add(client)

    def gone(self, client: _Client) -> None:
        self._clients.discard(client)
        self._empty.set()


class _Splice(asyncio.Protocol):
    """Hands on what it reads, and its end, to the other side."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self.other: _Splice | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)

    def eof_received(self) -> None:
        if self.other is not None:
            self.other.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and exc is not None:
            self.other.abort()
        elif self.other is not None:
            self.other.close()

    def pause_writing(self) -> None:
        if self.other is not None and self.other._transport is not None:
            self.other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other._transport is not None:
            self.other._transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End with a reset, as the other side did."""
        if self._transport is not None and not self._transport.is_closing():
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


class _Client(_Splice):
    """The client's side: reads the request's head, then splices."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._proxy = proxy
        self._head = b""
        self._dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._proxy.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._dialling is not None:
            self._dialling.cancel()
        self._proxy.gone(self)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)
            return
        self._head += data
        if b"\r\n\r\n" in self._head and self._dialling is None and not self._proxy.silent:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        lines = self._head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        self._proxy.asked.append(lines[0])
        fields = dict(line.split(": ", 1) for line in lines[1:])
        refusal = self._proxy.refusal({name.lower(): value for name, value in fields.items()})
        if refusal is not None:
            self.write(refusal)
            return
        method, target, _ = lines[0].split(" ")
        try:
            await self._splice(method, target)
        except OSError:
            self.write(b"HTTP/1.1 502 No Such Upstream\r\nContent-Length: 0\r\n\r\n")

    async def _splice(self, method: str, target: str) -> None:
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        loop = asyncio.get_running_loop()
        _, server = await loop.create_connection(_Splice, url.hostname or "", url.port or 80)
        server.other, self.other = self, server
        if method == "CONNECT":
            self.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            rest = target.partition("://")[2].partition("/")[2]
            server.write(self._head.replace(target.encode("latin-1"), f"/{rest}".encode("latin-1"), 1))
