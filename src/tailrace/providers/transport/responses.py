"""Responses from bytes: llhttp does the parsing, this bounds it and keeps what an exchange needs.

The specification is RFC 9112. llhttp can't be told of the connection's end through httptools, so a body
that lasts until then is recognised here, by its head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tailrace.errors import FailureCode, UpstreamError

MAX_HEAD_BYTES: Final = 64 << 10
MAX_HEAD_LINES: Final = 256


class _Refused(Exception):  # noqa: N818  # stops the parser, never leaves this module
    pass


class ResponseReader:
    """Reads the responses on one connection, one after the other. No I/O.

    `begin` before each request, `feed` for each read, `feed_eof` at the peer's end. After either: `status` is None
    until the head is whole, `ended` says that the response is complete or that `fault` says why it never will be.
    """

    __slots__ = (
        "_barren",
        "_feed",
        "_head_bytes",
        "_lines",
        "_parser",
        "_pieces",
        "_until_close",
        "_where",
        "ended",
        "fault",
        "headers",
        "on_body",
        "reusable",
        "status",
    )

    # for the connection's life
    on_body: Callable[[bytes], None]
    # for one response
    status: int | None
    headers: dict[str, str]
    ended: bool
    fault: UpstreamError | None
    reusable: bool

    def __init__(self, where: str) -> None:
        self._where = where
        self._pieces: list[bytes] = []
        # The parser calls the list itself: no frame of ours for each of a thousand small chunks.
        self.on_body = self._pieces.append
        self._parser = HttpResponseParser(self)
        self._feed = self._parser.feed_data
        self.begin()

    def begin(self) -> None:
        """Forget the last response and expect the next."""
        self.status = None
        self.headers = {}
        self.ended = False
        self.fault = None
        self.reusable = True
        self._until_close = False
        self._lines = self._head_bytes = self._barren = 0

    def feed(self, data: bytes) -> bytes:
        """Read what one socket read brought and return the body bytes in it, those before a fault included."""
        try:
            self._feed(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._spoil(str(error))
        pieces = self._pieces
        if not pieces:
            self._bound(len(data))
            return b""
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._barren = 0
        return body

    def feed_eof(self) -> None:
        """The peer will send nothing more: the end of a body that lasts until then, a fault for any other."""
        self.reusable = False
        if self._until_close:
            self.ended = True
        elif not self.ended:
            self.lose("")

    def lose(self, why: str) -> UpstreamError:
        """The connection is gone before the response was whole; `why` may be empty."""
        reason = f" ({why})" if why else ""
        return self._fail("upstream_cut", f"closed the connection before its answer was whole{reason}")

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self.ended:
            raise _Refused

    def on_status(self, reason: bytes) -> None:
        self._count(len(reason))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if self.status is not None:
            return  # a trailer: counted, and of no use to anyone
        key, text, headers = name.decode("latin-1").lower(), value.decode("latin-1"), self.headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 101 or status < 100:
            self._refuse(f"answered with the status {status}, which was not asked for")
        if status < 200:
            self.headers = {}
            return
        self.reusable = self._parser.should_keep_alive()
        self._until_close = self._lasts_until_close(status)
        self.status = status

    def on_message_complete(self) -> None:
        if self.status is not None:
            self.ended = True

    def _lasts_until_close(self, status: int) -> bool:
        if status in {204, 304}:
            return False
        coding = self.headers.get("transfer-encoding")
        if coding is None:
            return "content-length" not in self.headers
        if coding.lower() != "chunked":
            self._refuse("answered with a transfer coding other than chunked")
        return False

    def _count(self, size: int) -> None:
        self._lines += 1
        self._head_bytes += size + 4
        if self._lines > MAX_HEAD_LINES or self._head_bytes > MAX_HEAD_BYTES:
            self._refuse("answered with a head of over 64 KiB or 256 lines")

    def _bound(self, size: int) -> None:
        # Catches what no callback sees: a line that never ends, chunk extensions, a 100 Continue without end.
        self._barren += size
        if self._barren > MAX_HEAD_BYTES and not self.ended:
            self._fail("upstream_invalid", "sent over 64 KiB with no body in it")

    def _spoil(self, why: str) -> None:
        self.reusable = False
        if self.ended:
            return  # the response was whole: what followed it is not ours
        if self.status is None:
            self._fail("upstream_invalid", f"answered with something that is not HTTP/1 ({why})")
        else:
            self._fail("upstream_cut", f"broke the framing of its answer ({why})")

    def _refuse(self, what: str) -> None:
        self._fail("upstream_invalid", what)
        raise _Refused

    def _fail(self, code: FailureCode, what: str) -> UpstreamError:
        if self.fault is None:
            self.fault = UpstreamError(code, f"{self._where} {what}")
        self.reusable = False
        self.ended = True
        return self.fault
