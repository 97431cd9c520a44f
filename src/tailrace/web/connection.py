"""A client's connection: uvicorn's protocol on httptools, with bounds on what a client may send and how slowly.

uvicorn and httptools take a request head of any size at any pace, and let a body rest for ever. Here a head is at
most 64 KiB in 256 lines (431) and takes at most 10 s (408), a body that stalls is cut off, and a connection on which
nothing is asked is closed. One sweep a second looks at all connections: no timer is started for any.
"""

from __future__ import annotations

import asyncio
import enum
import http
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tailrace.web.delivery import CONNECTION, SEND, WRITE
from tailrace.web.logs import access_logger

HEAD_BYTES: Final = 64 * 1024
HEAD_LINES: Final = 256

_TOO_LARGE: Final = (
    431,
    "headers_too_large",
    f"The request's line and headers must be at most {HEAD_BYTES} bytes in {HEAD_LINES} lines.",
)
_TOO_SLOW: Final = (408, "headers_timeout", "The request's headers took too long to come.")
_CHUNK: Final = b"%x\r\n%b\r\n"
_BODILESS: Final = frozenset({204, 304})
_OURS_TO_SAY: Final = frozenset({b"connection", b"transfer-encoding"})
_MALFORMED: Final = (400, "malformed_http", "The request is not well-formed HTTP/1.1.")


class Phase(enum.Enum):
    """What a connection is doing."""

    IDLE = "nothing was asked since the last answer"
    HEAD = "a request's line and headers are coming"
    BODY = "its body is coming"
    ANSWER = "it was read whole, and its answer is under way"
    DISCARD = "it was answered before its body had come"
    LINGER = "it was refused, and what still comes is thrown away so that the refusal can be read"


class ChunkWriter:
    """Writes a response straight to its transport, as uvicorn's `send` would, each time in one go.

    False, and nothing written, where that has something to see to: a full socket, a client that left, what no response
    of ours is made of.
    """

    __slots__ = ("_cycle", "_flow", "_write")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._flow = cycle.flow
        self._write = cycle.transport.write

    def __call__(self, body: bytes) -> bool:
        """The next piece of a chunked body."""
        cycle = self._cycle
        if self._flow.write_paused or cycle.disconnected or not cycle.chunked_encoding:
            return False
        self._write(_CHUNK % (len(body), body))
        return True

    def send(self, messages: list[Message]) -> bool:
        """A response's head with what follows it, or the end of its body."""
        cycle = self._cycle
        if not messages or self._flow.write_paused or cycle.disconnected or cycle.response_complete:
            return False
        head = b""
        if not cycle.response_started:
            start, *messages = messages
            if not (head := self._open(start)):
                return False
        body = b"".join([message["body"] for message in messages])
        ends = bool(messages) and not messages[-1]["more_body"]
        self._write(head + (_chunks(body, last=ends) if cycle.chunked_encoding else body))
        if ends:
            self._close()
        return True

    def _open(self, start: Message) -> bytes:
        """The head; empty, and nothing begun, where it is not for us to write."""
        cycle = self._cycle
        status, headers = start["status"], [*cycle.default_headers, *start["headers"]]
        names = {name for name, _ in headers}
        chunked = b"content-length" not in names
        lines = [b"%b: %b\r\n" % header for header in headers]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        if chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        ordinary = status not in _BODILESS and cycle.scope["method"] != "HEAD" and _OURS_TO_SAY.isdisjoint(names)
        if not ordinary or head.count(b"\n") != len(lines):
            return b""
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        cycle.chunked_encoding = chunked
        if cycle.access_log:
            self._note_access(status)
        return STATUS_LINE[status] + head + b"\r\n"

    def _note_access(self, status: int) -> None:
        scope = self._cycle.scope
        host, port = scope["client"] or ("", 0)
        path = scope["raw_path"].decode("latin-1")
        self._cycle.access_logger.info(
            '%s - "%s %s HTTP/%s" %d', f"{host}:{port}", scope["method"], path, scope["http_version"], status
        )

    def _close(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


def _chunks(body: bytes, *, last: bool) -> bytes:
    chunk = _CHUNK % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if last else chunk


class _Signal:
    """What uvicorn has an `asyncio.Event` for, in fewer calls, and with no system call to find the loop."""

    __slots__ = ("_loop", "_set", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._set = False
        self._waiters: list[asyncio.Future[None]] = []

    def set(self) -> None:
        self._set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def clear(self) -> None:
        self._set = False

    async def wait(self) -> None:
        if not self._set:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter


class Connection(HttpToolsProtocol):
    """One client's connection. The app finds its transport as `scope["extensions"]["tailrace.connection"]`."""

    limits: ClassVar[Mapping[Phase, float]] = {
        Phase.IDLE: 75.0,
        Phase.HEAD: 10.0,
        Phase.BODY: 30.0,
        Phase.DISCARD: 10.0,
        Phase.LINGER: 5.0,
    }
    """For how many seconds a connection may stay in a phase; in BODY, between two pieces."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.access_log:
            self.access_logger = access_logger()  # type: ignore[assignment]
        # Per connection
        self.phase = Phase.IDLE
        self._since: float | None = None  # stamped by the sweep: no clock is read for a request
        self._heard = False
        self._refusal = _MALFORMED
        # Per request
        self._unseen_bytes = 0

    def sweep(self, now: float) -> None:
        """Close the connection if it has been in its phase for too long. The server calls this once a second."""
        if self._since is None or (self.phase is Phase.BODY and (self._heard or self.flow.read_paused)):
            self._heard = False
            self._since = now
        limit = self.limits.get(self.phase)
        if limit is None or now - self._since <= limit:
            return
        if self.phase is Phase.HEAD:
            self._refuse(_TOO_SLOW)
        else:
            self.transport.abort()  # to close would wait for a client that may not take its last bytes

    # Called by the event loop

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.LINGER:
            return
        self._heard = True
        self._unseen_bytes += len(data)
        super().data_received(data)
        # A header that has not ended yet is held by the parser, which tells of it only when it has.
        if self._unseen_bytes > HEAD_BYTES and self.phase in (Phase.HEAD, Phase.BODY):
            self._refuse(_TOO_LARGE)

    def eof_received(self) -> None:
        """A client that closed its half has left: the app hears it now, not once the last byte is taken."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()

    # Called by the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._enter(Phase.HEAD)

    def on_headers_complete(self) -> None:
        self._check_head()
        self._enter(Phase.BODY)
        super().on_headers_complete()
        self.headers = []  # what comes from now on are trailers, which never pass for headers
        # The task that was made for it has not run yet
        cycle = self.cycle
        cycle.message_event = _Signal(self.loop)  # type: ignore[assignment]
        self.scope["extensions"] = {
            CONNECTION: self.transport,  # type: ignore[dict-item]
            SEND: cycle.send,  # type: ignore[dict-item]
            WRITE: ChunkWriter(cycle),  # type: ignore[dict-item]
        }

    def on_body(self, body: bytes) -> None:
        self._unseen_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._enter(Phase.IDLE if self.cycle.response_complete else Phase.ANSWER)

    # Called by uvicorn

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.cycle.response_complete:
            return  # it was the answer before this request's, which was sent early
        if self.phase is Phase.BODY:
            self._enter(Phase.DISCARD)
        elif self.phase is Phase.ANSWER:
            self._enter(Phase.IDLE)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser, or a callback of its, would not take."""
        self._refuse(self._refusal)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: to ignore an upgrade that a client offers is a right answer to it."""

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._since = None
        self._unseen_bytes = 0

    def _check_head(self) -> None:
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        if size > HEAD_BYTES or len(self.headers) > HEAD_LINES:
            self._refusal = _TOO_LARGE
            raise ValueError("the request's head is too large")

    def _refuse(self, refusal: tuple[int, str, str]) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()  # an answer is under way: a second one must not be written into it
            return
        self.transport.write(_problem(*refusal))
        if self.transport.can_write_eof():
            self._enter(Phase.LINGER)
            self.transport.write_eof()
        else:
            self.transport.close()


def _problem(status: int, code: str, detail: str) -> bytes:
    body = json.dumps(
        {
            "type": "about:blank",
            "title": http.HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
        }
    ).encode()
    headers = f"content-type: application/problem+json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + headers.encode() + body
