"""An upstream that does exactly what its script says, byte by byte, on a real socket.

    script = [b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhe", may_go_on, b"llo"]
    async with ScriptedUpstream(script) as upstream:
        ...  # talk to upstream.url
        await upstream.closed_by(1)
        assert upstream.requests[0].body == b"..."

A script is a list of steps, run once for each request that has come in whole; the connection then waits for the
next request. A step is bytes to send, an event to wait for, or one of the `Step`s below. Instead of a list, a
function from the request to a list may be given, or `in_turn(first, second)` for one script after another.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias, cast

import httptools

DEADLINE_S = 30.0
"""How long a test waits for what must happen."""


class Step(enum.Enum):
    """What a script can do beside sending and waiting."""

    CLOSE = enum.auto()
    """Send what is unsent, then end the connection in order (TLS: with its farewell)."""

    DROP = enum.auto()
    """End the connection without TLS's farewell."""

    RESET = enum.auto()
    """End the connection with a TCP reset."""

    STALL = enum.auto()
    """Do nothing more, until the peer closes."""

    DEAFEN = enum.auto()
    """Read nothing more from the socket."""

    LISTEN = enum.auto()
    """Read from the socket again."""


Script: TypeAlias = Sequence[bytes | asyncio.Event | Step]
Scripts: TypeAlias = Script | Callable[["ReceivedRequest"], Script]


@dataclass(frozen=True, kw_only=True)
class ReceivedRequest:
    """A request as it came. `connection` counts the upstream's connections from 1, `at` is monotonic time."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float


@dataclass(frozen=True, kw_only=True)
class ClosedConnection:
    """A connection that is over; `by_peer`: the other side ended it; `reset`: not in order but with a reset."""

    connection: int
    at: float
    by_peer: bool
    reset: bool


def in_turn(*scripts: Script) -> Callable[[ReceivedRequest], Script]:
    """The first script for the first request, and so on; the last one for all that follow."""
    turns: Iterator[Script] = iter(scripts)
    latest: list[Script] = []

    def script(_request: ReceivedRequest) -> Script:
        latest[:] = [next(turns, latest[0] if latest else ())]
        return latest[0]

    return script


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A response with a length; `content_type="text/plain"` becomes a header of that name."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def chunked_head(status: str = "200 OK", content_type: str = "text/event-stream") -> bytes:
    """The head of a response in chunks."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    """One chunk; of no data, the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ScriptedUpstream:
    """A server on an ephemeral port of `host`. What it saw is in `requests` and `closed`, in order.

    `malformed` has what came and was no request, such as a TLS greeting to a server without TLS.
    """

    def __init__(
        self, script: Scripts, *, greeting: Script = (), tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        """`greeting` is run on each new connection, before any request; `tls` makes it an https server."""
        self._script = script
        self._greeting = greeting
        self._tls = tls
        self._host = host
        self._changed = asyncio.Event()
        self._links: set[_Link] = set()
        self._faults: list[BaseException] = []
        self.connections = 0
        self.received_bytes = 0
        self.requests: list[ReceivedRequest] = []
        self.closed: list[ClosedConnection] = []
        self.malformed: list[bytes] = []

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def open_connections(self) -> int:
        return self.connections - len(self.closed)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self), self._host, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for link in self._links:
            link.abort()
        await self._until(lambda: not self._links)
        if self._faults and error is None:
            raise self._faults[0]

    async def connected(self, count: int) -> None:
        """Wait until `count` connections were made."""
        await self._until(lambda: self.connections >= count)

    async def receiving(self) -> None:
        """Wait until the first bytes came."""
        await self._until(lambda: self.received_bytes > 0)

    async def requested(self, count: int) -> None:
        """Wait until `count` requests have come in whole."""
        await self._until(lambda: len(self.requests) >= count)

    async def closed_by(self, count: int) -> None:
        """Wait until `count` connections are over."""
        await self._until(lambda: len(self.closed) >= count)

    async def puzzled(self) -> None:
        """Wait until something came that is no request."""
        await self._until(lambda: bool(self.malformed))

    async def _until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not happened():
                await self._changed.wait()

    # What links ask and tell.

    def script_for(self, request: ReceivedRequest | None) -> Script:
        if request is None:
            return self._greeting
        return self._script(request) if callable(self._script) else self._script

    def opened(self, link: _Link) -> int:
        self._links.add(link)
        self.connections += 1
        self.changed()
        return self.connections

    def changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def gone(self, link: _Link, fault: BaseException | None) -> None:
        self._links.discard(link)
        if fault is not None:
            self._faults.append(fault)
        self.changed()


class _Link(asyncio.Protocol):
    """One connection: reads requests, runs scripts, and notices its end whatever the script is doing."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._requests: asyncio.Queue[ReceivedRequest] = asyncio.Queue()
        self._recorded = False
        self._by_us = False
        self.on_message_begin()

    async def _serve(self) -> None:
        await self._run(self._upstream.script_for(None))
        while not self._by_us:
            await self._run(self._upstream.script_for(await self._requests.get()))

    async def _run(self, script: Script) -> None:
        for step in script:
            match step:
                case bytes():
                    self._transport.write(step)
                case asyncio.Event():
                    await step.wait()
                case Step.STALL:
                    await asyncio.Event().wait()
                case Step.DEAFEN:
                    self._transport.pause_reading()
                case Step.LISTEN:
                    self._transport.resume_reading()
                case Step.CLOSE | Step.DROP | Step.RESET:
                    self._leave(step)
                    return

    def abort(self) -> None:
        self._transport.abort()

    def _leave(self, step: Step) -> None:
        self._by_us = True
        if step is Step.CLOSE:
            self._transport.close()
            return
        if step is Step.RESET:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _record(self, *, reset: bool) -> None:
        if self._recorded:
            return
        self._recorded = True
        self._upstream.closed.append(
            ClosedConnection(connection=self._number, at=time.monotonic(), by_peer=not self._by_us, reset=reset)
        )
        self._upstream.changed()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._number = self._upstream.opened(self)
        self._serving = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._upstream.received_bytes += len(data)
        self._upstream.changed()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._upstream.malformed.append(data)

    def eof_received(self) -> None:
        self._record(reset=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._record(reset=isinstance(exc, ConnectionResetError))
        self._serving.cancel()
        self._serving.add_done_callback(self._served)

    def _served(self, serving: asyncio.Task[None]) -> None:
        self._upstream.gone(self, None if serving.cancelled() else serving.exception())

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        request = ReceivedRequest(
            method=self._parser.get_method().decode(),
            target=self._target.decode(),
            headers=self._headers,
            body=bytes(self._body),
            connection=self._number,
            at=time.monotonic(),
        )
        self._upstream.requests.append(request)
        self._requests.put_nowait(request)
