"""A client's connection: uvicorn's protocol on httptools, with bounds on what a client may send and how slowly.

uvicorn and httptools take a request head of any size at any pace, and let a body rest for ever. Here a head is at
most 64 KiB in 256 lines (431) and takes at most 10 s (408), a body that stalls is cut off, and a connection on which
nothing is asked is closed. One sweep a second looks at all connections: no timer is started for any.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import http
import json
from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar, Final, cast

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tailrace.web.delivery import CONNECTION
from tailrace.web.logs import access_logger

HEAD_BYTES: Final = 64 * 1024
HEAD_LINES: Final = 256

_TOO_LARGE: Final = (
    431,
    "headers_too_large",
    f"The request's line and headers must be at most {HEAD_BYTES} bytes in {HEAD_LINES} lines.",
)
_TOO_SLOW: Final = (408, "headers_timeout", "The request's headers took too long to come.")
_MALFORMED: Final = (400, "malformed_http", "The request is not well-formed HTTP/1.1.")


class Phase(enum.Enum):
    """What a connection is doing."""

    IDLE = "nothing was asked since the last answer"
    HEAD = "a request's line and headers are coming"
    BODY = "its body is coming"
    ANSWER = "it was read whole, and its answer is under way"
    DISCARD = "it was answered before its body had come"
    LINGER = "it was refused, and what still comes is thrown away so that the refusal can be read"


class _Pieces:
    """Stands in for a transport while a response begins, so that its head does not travel alone."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write = self.written.append
        self.closed = False

    def close(self) -> None:
        self.closed = True


def _run(sending: Coroutine[Any, Any, None]) -> None:
    """Run a `send` that has nothing to wait for."""
    with contextlib.suppress(StopIteration):
        sending.send(None)


class ChunkWriter:
    """Writes pieces of one response's body straight to its transport, as uvicorn's `send` would.

    False, and nothing written, where that has something to see to: a full socket, a client that left, a body by length.
    """

    __slots__ = ("_cycle", "_flow", "_transport", "_write")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._flow = cycle.flow
        self._transport = cycle.transport
        self._write = cycle.transport.write

    def open(self, messages: list[Message]) -> bool:
        """Write a response's head and the first piece of its body in one go, where that is what the messages are."""
        cycle = self._cycle
        if len(messages) != 2 or cycle.response_started or self._flow.write_paused or cycle.disconnected:
            return False
        pieces = _Pieces()
        cycle.transport = cast("asyncio.Transport", pieces)
        try:
            for message in messages:
                _run(cycle.send(cast("Any", message)))
        finally:
            cycle.transport = self._transport
        self._write(b"".join(pieces.written))
        if pieces.closed:
            self._transport.close()
        return True

    def __call__(self, body: bytes) -> bool:
        cycle = self._cycle
        if self._flow.write_paused or cycle.disconnected or not cycle.chunked_encoding:
            return False
        self._write(b"%x\r\n%b\r\n" % (len(body), body))
        return True


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
        self._since = self.loop.time()
        self._heard = False
        self._refusal = _MALFORMED
        # Per request
        self._unseen_bytes = 0
        self._head_bytes = 0
        self._head_lines = 0

    def sweep(self, now: float) -> None:
        """Close the connection if it has been in its phase for too long. The server calls this once a second."""
        if self.phase is Phase.BODY and (self._heard or self.flow.read_paused):
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
        self._head_bytes = self._head_lines = 0
        self._enter(Phase.HEAD)
        self.scope["extensions"] = {CONNECTION: self.transport}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_lines += 1
        self._count_head(len(name) + len(value) + 4)
        if self.phase is Phase.HEAD:  # a trailer is counted, but never passes for a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._enter(Phase.BODY)
        super().on_headers_complete()

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
        self._since = self.loop.time()
        self._unseen_bytes = 0

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES or self._head_lines > HEAD_LINES:
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
