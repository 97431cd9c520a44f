"""One connection to an upstream: an asyncio protocol that carries one exchange at a time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, Protocol, cast

from tailrace.providers.transport.base import Receiver
from tailrace.providers.transport.codings import Inflater, open_coding
from tailrace.providers.transport.responses import ResponseReader

DRAIN_S: Final = 1.0
"""How long a connection may take to end an answer that its receiver called whole, before it is closed."""

_JOIN_BYTES: Final = 64 << 10


class Keeper(Protocol):
    """Who owns the connections and hears what becomes of them."""

    def made(self, connection: Connection) -> None:
        """The socket is open."""

    def freed(self, connection: Connection) -> None:
        """The exchange is over and the connection can carry another."""

    def lost(self, connection: Connection) -> None:
        """The socket is closed, or will be before control returns to the event loop."""


class Connection(asyncio.Protocol):
    """Carries one exchange at a time, then tells its keeper that it is free, or closes."""

    __slots__ = (
        "_drain",
        "_inflater",
        "_keeper",
        "_loop",
        "_reader",
        "_receive",
        "_receiver",
        "_transport",
        "_waiter",
        "_where",
        "heard",
    )

    # for the connection's life
    _transport: asyncio.Transport
    # for one exchange
    _receiver: Receiver
    _receive: Callable[[bytes], bool] | None
    _inflater: Inflater | None

    def __init__(self, where: str, keeper: Keeper) -> None:
        self._where = where
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._reader = ResponseReader(where)
        self._waiter: asyncio.Future[None] | None = None
        self._drain: asyncio.TimerHandle | None = None
        self.heard = False

    @property
    def closing(self) -> bool:
        """No longer fit for an exchange."""
        return self._transport.is_closing()

    async def exchange(self, head: bytes, body: bytes | None, receiver: Receiver) -> None:
        """Send a request and wait until the receiver has its answer.

        When this raises, the connection is closed; `heard` then says whether any byte of an answer had come.
        """
        waiter = self._begin(receiver)
        self._send(head, body)
        try:
            await waiter
        except BaseException:
            # Cancelled in the very turn in which the answer ended, the connection may already serve another.
            if self._waiter is waiter:
                self.abort()
            raise

    def abort(self) -> None:
        """Close at once; what is not yet sent never will be. May be called again."""
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._keeper.made(self)

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None:
            self._receive_unasked(data)
            return
        if waiter.done():
            return  # cancelled: its task has yet to run, and will abort
        self.heard = True
        reader = self._reader
        body = reader.feed(data)
        try:
            receive = self._receive or self._start()
            if body and receive is not None and receive(body):
                self._finish(waiter)
            elif reader.ended:
                self._settle(waiter)
        except Exception as error:
            self._fail(waiter, error)

    def eof_received(self) -> None:
        if self._has_farewell():
            self._reader.feed_eof()
        else:
            self._reader.lose("without TLS's close_notify")
        self._end()
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.lose(str(exc or ""))
        self._end()
        self._stop_draining()
        self._keeper.lost(self)

    def _has_farewell(self) -> bool:
        """Whether the peer itself said that it was done: in TLS a bare end may be an attacker's (RFC 9112, 9.8)."""
        tls = self._transport.get_extra_info("ssl_object")
        try:
            # asyncio calls `eof_received` either way; only OpenSSL knows, and says so by an empty read.
            return tls is None or tls.read(1) == b""
        except ssl.SSLError:
            return False

    # One exchange, from its begin to one of its ends.

    def _begin(self, receiver: Receiver) -> asyncio.Future[None]:
        self._reader.begin()
        self._receiver, self._receive, self._inflater = receiver, None, None
        self.heard = False
        if self.closing:
            raise self._reader.lose("")
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _send(self, head: bytes, body: bytes | None) -> None:
        if body and len(body) > _JOIN_BYTES:
            self._transport.write(head)
            self._transport.write(body)
        else:
            self._transport.write(head + body if body else head)

    def _start(self) -> Callable[[bytes], bool] | None:
        """Hand the head on, once it is whole; return what takes the body."""
        reader, receiver = self._reader, self._receiver
        if reader.status is None:
            return None
        self._inflater = open_coding(reader.headers, receiver, self._where)
        self._receive = receive = receiver.body_received if self._inflater is None else self._inflater.feed
        receiver.response_started(reader.status, reader.headers)
        return receive

    def _end(self) -> None:
        """The connection is over, and with it the exchange, if there is one."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        try:
            self._settle(waiter)
        except Exception as error:
            self._fail(waiter, error)

    def _settle(self, waiter: asyncio.Future[None]) -> None:
        if self._reader.fault is not None:
            raise self._reader.fault
        if self._inflater is not None:
            self._inflater.end()
        self._finish(waiter)

    def _finish(self, waiter: asyncio.Future[None]) -> None:
        if waiter.done():
            return  # the receiver had its own task cancelled
        self._waiter = None
        waiter.set_result(None)
        if self._reader.ended:
            self._free()
        else:
            self._drain = self._loop.call_later(DRAIN_S, self.abort)

    def _fail(self, waiter: asyncio.Future[None], error: Exception) -> None:
        self._waiter = None
        if not waiter.done():
            waiter.set_exception(error)
        self.abort()

    # After the exchange.

    def _receive_unasked(self, data: bytes) -> None:
        if self._drain is None:
            self.abort()  # idle: nothing may come, so what came belongs to no request
            return
        self._reader.feed(data)
        if self._reader.ended:
            self._stop_draining()
            self._free()

    def _stop_draining(self) -> None:
        if self._drain is not None:
            self._drain.cancel()
            self._drain = None

    def _free(self) -> None:
        # An answer that came before the whole request was sent leaves the rest of it in the way of the next.
        if self._reader.reusable and not self._transport.get_write_buffer_size():
            self._keeper.freed(self)
        else:
            self.abort()
