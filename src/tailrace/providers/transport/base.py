"""The contract of a transport: how a provider asks its upstream, and how the answer comes back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from tailrace.errors import UpstreamError

MAX_REPLY_BYTES: Final = 8 << 20


class Receiver(Protocol):
    """Takes one answer as it comes in, at once: it never blocks and never waits.

    What it raises closes the connection at once and comes out of `Transport.exchange` unchanged.
    """

    def response_started(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head of the answer, once, before any body; never that of a 1xx. A 3xx is a status like any other.

        Header names are lower-case; the values of a name that came more than once are joined with ", ".
        """

    def body_received(self, data: bytes) -> bool:
        """Take the body's next bytes, never none; True says that the answer is whole and no more is wanted.

        Called once for each socket read that brought body bytes, with all that it brought. A body that came
        compressed is handed on inflated, in pieces of at most 1 MiB.
        """


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(ABC):
    """The way to one upstream, fixed by its base URL. Serves any number of exchanges at a time.

    `open` is awaited once before the first exchange, `close` once after the last. Redirects are never followed.
    Nothing but connecting is timed: who waits for bytes cancels when they take too long.
    """

    @abstractmethod
    async def open(self) -> None:
        """Make what the exchanges share. No connection is made yet."""

    @abstractmethod
    async def close(self) -> None:
        """Abort every connection and return when their sockets are closed.

        An exchange that is under way ends with `upstream_cut`.
        """

    @abstractmethod
    async def exchange(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, receiver: Receiver
    ) -> None:
        """Send one request and hand the answer to `receiver` as it comes; return when it is whole.

        It is whole when the body ended as its framing says or `body_received` returned True. `path` starts with a
        slash, is already percent-encoded and is added to the base URL's own. `method` is any but HEAD and CONNECT.

        Raises UpstreamError:
            upstream_error: no connection: name not found, refused, TLS failed, refused by the proxy.
            connect_timeout: no connection, TLS included, within `connect_s`.
            upstream_invalid: the answer is not HTTP/1, has a head of over 64 KiB or 256 lines, or a coding that was
                not asked for and is neither gzip nor deflate.
            upstream_cut: the connection or the body broke off, or its framing or compression broke.
        Raises ValueError for a method, path or header that no request may carry (see `check_headers`).
        Cancelling the awaiting task aborts the connection at once.
        """

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        max_bytes: int = MAX_REPLY_BYTES,
    ) -> Reply:
        """Send one request and return the whole answer.

        Raises what `exchange` raises, and UpstreamError `too_long` for a body of over `max_bytes`.
        """
        collector = _Collector(max_bytes)
        await self.exchange(method, path, headers=headers, body=body, receiver=collector)
        return collector.reply()


class _Collector:
    """A receiver that keeps the answer, up to a limit."""

    __slots__ = ("_headers", "_pieces", "_room", "_status")

    def __init__(self, max_bytes: int) -> None:
        self._room = max_bytes
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._pieces: list[bytes] = []

    def response_started(self, status: int, headers: Mapping[str, str]) -> None:
        self._status, self._headers = status, headers

    def body_received(self, data: bytes) -> bool:
        self._room -= len(data)
        if self._room < 0:
            raise UpstreamError("too_long", "the upstream's answer is longer than allowed")
        self._pieces.append(data)
        return False

    def reply(self) -> Reply:
        return Reply(status=self._status, headers=self._headers, body=b"".join(self._pieces))
