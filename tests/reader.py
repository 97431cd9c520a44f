"""A client of one HTTP connection in the hands of a test: it reads what it is told to, and leaves as it is told to.

async with Reader(url) as reader:
    await reader.ask("POST", "/v1/chat/stream", {"message": "Hi"})
    await reader.until(b'"delta"')
    reader.leave()
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools
from tests.upstream import DEADLINE_S

from tailrace.sse import Decoder, ServerSentEvent

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Answer:
    """What came of one answer. `pieces` are the reads that brought body bytes, each with its monotonic time."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[tuple[float, bytes]] = []
        self.whole = False

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    @property
    def events(self) -> list[ServerSentEvent]:
        """The body read as Server-Sent Events."""
        return Decoder().feed(self.body)

    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)

    @property
    def objects(self) -> list[Any]:
        """The data of each event that is a JSON object."""
        return [json.loads(event.data) for event in self.events if event.data.startswith("{")]

    @property
    def text(self) -> str:
        """The answer's text, from a stream in any of the JSON formats."""
        return "".join(piece.get("delta") or piece.get("token") or "" for piece in self.objects)


class Reader(asyncio.Protocol):
    """One connection to a server. It can ask again once the answer before is whole."""

    def __init__(self, url: str, *, receive_buffer: int | None = None) -> None:
        """`receive_buffer`: how many bytes the kernel takes for a reader that does not."""
        self._url = urlsplit(url)
        self._receive_buffer = receive_buffer
        self._changed = asyncio.Event()
        self._lost = False
        self.answer = Answer()

    async def __aenter__(self) -> Self:
        link = socket.socket(socket.AF_INET6 if ":" in (self._url.hostname or "") else socket.AF_INET)
        link.setblocking(False)
        if self._receive_buffer is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(link, (self._url.hostname, self._url.port))
        except BaseException:
            link.close()
            raise
        await loop.create_connection(lambda: self, sock=link)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.abort()
        await self._until(lambda: self._lost)

    # What it asks

    async def ask(
        self, method: str, target: str, body: object = None, *, headers: Mapping[str, str | None] = NO_HEADERS
    ) -> None:
        """Send a request: `body` as JSON, or the bytes themselves. A header that is None is left out."""
        self.answer = Answer()
        self._parser = httptools.HttpResponseParser(self)
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        own = {"host": self._url.netloc, **({} if body is None else {"content-type": "application/json"})}
        if method != "GET" and "transfer-encoding" not in headers:
            own["content-length"] = str(len(content))
        lines = [f"{name}: {value}" for name, value in {**own, **headers}.items() if value is not None]
        self.send("\r\n".join([f"{method} {target} HTTP/1.1", *lines, "\r\n"]).encode() + content)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(data)

    # What it waits for

    async def head(self) -> Answer:
        """Wait for the status and the headers."""
        await self._until(lambda: self.answer.headers)
        return self.answer

    async def until(self, mark: bytes, *, times: int = 1) -> Answer:
        """Wait until the body holds `mark` so many times."""
        await self._until(lambda: self.answer.body.count(mark) >= times)
        return self.answer

    async def some(self, mark: bytes, *, times: int) -> Answer:
        """The same, or until the answer has ended."""
        await self._until(lambda: self.answer.whole or self.answer.body.count(mark) >= times)
        return self.answer

    async def whole(self) -> Answer:
        """Wait for the answer's end."""
        await self._until(lambda: self.answer.whole)
        return self.answer

    async def closed(self) -> Answer:
        """Wait until the server has closed the connection."""
        await self._until(lambda: self._lost)
        return self.answer

    # What else it may do

    def stop_reading(self) -> None:
        """Take nothing more from the socket."""
        self._transport.pause_reading()

    def go_on_reading(self) -> None:
        """Take what comes again."""
        self._transport.resume_reading()

    def leave(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def reset(self) -> None:
        """The same with a TCP reset."""
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def half_close(self) -> None:
        """Close the sending half, and go on reading."""
        self._transport.write_eof()

    async def _until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not happened():
                if self._lost:
                    raise ConnectionError(f"the server closed the connection after {self.answer.body[-500:]!r}")
                await self._changed.wait()
                self._changed.clear()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._changed.set()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.answer.pieces.append((time.monotonic(), body))

    def on_message_complete(self) -> None:
        self.answer.whole = True


async def ask(
    url: str, method: str, target: str, body: object = None, *, headers: Mapping[str, str | None] = NO_HEADERS
) -> Answer:
    """Ask on a connection of its own and wait for the whole answer."""
    async with Reader(url) as reader:
        await reader.ask(method, target, body, headers=headers)
        return await reader.whole()
