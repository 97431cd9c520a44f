"""Delivers a feed to one HTTP client, as a plain ASGI response.

`append` wakes each viewer's delivery, which takes what is new and sends it in the same turn of the event loop. Where
`send` is the server's own (`tailrace serve`), its coroutine is driven by hand: it runs to its end unless the socket
is full, and only then becomes a task. Where other people's middleware stands between, it is awaited in the request's
task. Either way a slow reader has a cursor and no queue: it costs nothing and holds nobody up.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator, Mapping
from types import coroutine
from typing import Any, Final, Protocol, cast

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tailrace.settings import StreamSettings
from tailrace.web.edge import EDGE_HEADERS, STATUS
from tailrace.web.feed import Feed, body_message

SEND: Final = "tailrace.send"
"""The scope extension by which our own server hands over its `send`, before any wrapping."""

WRITE: Final = "tailrace.write"
"""The one that holds a `Writer`."""

CONNECTION: Final = "tailrace.connection"
"""The one that holds the client's connection."""

READER: Final = "tailrace.reader"
"""The scope's key of a `Reader`, where the route knows who reads."""

_log = structlog.get_logger(__name__)


class Reader(Protocol):
    """Who reads, and whether they still may."""

    @property
    def name(self) -> str:
        """The owner of whatever is theirs."""

    def honoured(self) -> bool:
        """Whether the key that let them in is still in force."""


class Connection(Protocol):
    """What our own server lets a response do to its client's connection."""

    def abort(self) -> None:
        """Close it at once, without sending what is buffered."""


class Writer(Protocol):
    """Writes past our server's `send` where nothing has to be waited for; else writes nothing and says False."""

    def send(self, messages: list[Message]) -> bool:
        """These, one after the other, in one go."""

    def __call__(self, body: bytes) -> bool:
        """The next piece of a body."""


class Delivery(Response):
    """A feed as a response."""

    def __init__(self, feed: Feed, *, settings: StreamSettings) -> None:
        self._feed = feed
        self._settings = settings
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope.get("extensions") or {}
        viewer: _Viewer
        if SEND in extensions:
            self._feed.add_headers(scope.get(EDGE_HEADERS, []))
            viewer = _DirectViewer(self._feed, self._settings, extensions)
        else:
            viewer = _AwaitingViewer(self._feed, self._settings, send)
        viewer.reader = scope.get(READER)
        self._feed.log.attach(viewer)
        try:
            await viewer.run(receive)
        finally:
            self._feed.left = True
            self._feed.log.detach(viewer)
            if self._feed.status is not None:
                scope[STATUS] = self._feed.status
        if self.background is not None:
            await self.background()


class _Viewer(ABC):
    """Reads a feed on behalf of one client; `wake` and `tick` are called by the log."""

    def __init__(self, feed: Feed, settings: StreamSettings) -> None:
        self.reader: Reader | None = None
        self._feed = feed
        self._settings = settings
        self._blocked = False
        # Set with each piece that is sent, and turned into a time by the sweep: no clock is read for a token
        self._active = True
        self._active_at = 0.0

    @property
    def position(self) -> int:
        return self._feed.position

    @abstractmethod
    async def run(self, receive: Receive) -> None:
        """Deliver until the feed has ended or the client has left."""

    @abstractmethod
    def wake(self) -> None:
        """Send what is new."""

    @abstractmethod
    def _send_soon(self, messages: list[Message]) -> None:
        """Send these, which do not come from the log."""

    @abstractmethod
    def _abort(self) -> None:
        """Give the client up."""

    def tick(self, now: float) -> None:
        if self._active:
            self._active, self._active_at = False, now
        silence = now - self._active_at
        if self._is_turned_away():
            self._abort()
        elif self._blocked:
            if silence > self._settings.send_s:
                _log.info("reader_gave_up", stream=self._feed.log.id, reason="takes nothing", seconds=round(silence))
                self._abort()
        elif self._feed.ended:
            return
        elif self._feed.status is None:
            if silence >= self._settings.status_wait_s:
                self._send_soon(self._feed.open_late())
        elif silence >= self._settings.heartbeat_s:
            self._send_soon(self._feed.keep_alive())

    def _is_turned_away(self) -> bool:
        """Whether a key was revoked while it was read with; its own running stream ends by itself, and says why."""
        if self.reader is None or self._feed.ended or self.reader.honoured():
            return False
        log = self._feed.log
        return log.terminal is not None or log.owner != self.reader.name


class _DirectViewer(_Viewer):
    """Sends from within `append`, through the server's own `send`."""

    def __init__(self, feed: Feed, settings: StreamSettings, extensions: Mapping[str, Any]) -> None:
        super().__init__(feed, settings)
        self._send: Send = extensions[SEND]
        self._write: Writer | None = extensions.get(WRITE)
        self._connection: Connection | None = extensions.get(CONNECTION)
        self._rest: asyncio.Task[None] | None = None

    async def run(self, receive: Receive) -> None:
        self.wake()
        try:
            # The server says "disconnect" when the client has left, and also once the response is complete
            await _wait_for_disconnect(receive)
        finally:
            self._blocked = True
            if self._rest is not None:
                self._rest.cancel()

    def wake(self) -> None:
        if self._blocked:
            return
        feed = self._feed
        try:
            if body := feed.take_body():
                self._active = True
                if self._write is None or not self._write(body):
                    self._send_now([body_message(body, more=True)])
                if not feed.has_more:
                    return
            while not self._blocked and (messages := feed.take()):
                self._send_now(messages)
                if not feed.has_more:
                    return
        except Exception:
            self._give_up()

    def _send_soon(self, messages: list[Message]) -> None:
        try:
            self._send_now(messages)
        except Exception:
            self._give_up()

    def _send_now(self, messages: list[Message]) -> None:
        self._active = True
        if self._write is not None and self._write.send(messages):
            return
        for place, message in enumerate(messages):
            sending = cast("Coroutine[Any, Any, None]", self._send(message))
            try:
                waits_for = sending.send(None)
            except StopIteration:
                continue
            self._blocked = True
            self._feed.fall_behind()
            self._rest = asyncio.create_task(self._send_rest(sending, waits_for, messages[place + 1 :]))
            return

    async def _send_rest(self, sending: Coroutine[Any, Any, None], waits_for: Any, then: list[Message]) -> None:
        """The socket is full: wait for it, then go on."""
        try:
            await _resume(sending, waits_for)
            for message in then:
                await self._send(message)
        except Exception:
            self._give_up()
            return
        self._rest = None
        self._blocked = False
        self.wake()

    def _give_up(self) -> None:
        _log.exception("delivery_failed", stream=self._feed.log.id)
        self._abort()

    def _abort(self) -> None:
        self._blocked = True
        if self._connection is not None:
            self._connection.abort()


@coroutine
def _resume(sending: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Await the rest of a coroutine whose first step was made outside of any task and gave `waits_for`."""
    step: Callable[[Any], Any]
    while True:
        try:
            step, argument = sending.send, (yield waits_for)
        except BaseException as error:  # a cancellation too is the coroutine's to see
            step, argument = sending.throw, error
        try:
            waits_for = step(argument)
        except StopIteration:
            return


class _AwaitingViewer(_Viewer):
    """Sends from the request's own side, through whatever stands between."""

    def __init__(self, feed: Feed, settings: StreamSettings, send: Send) -> None:
        super().__init__(feed, settings)
        self._send = send
        self._more = asyncio.Event()
        self._late: list[Message] = []
        self._delivering: asyncio.Task[None] | None = None

    async def run(self, receive: Receive) -> None:
        watching = asyncio.create_task(_wait_for_disconnect(receive))
        delivering = self._delivering = asyncio.create_task(self._deliver())
        try:
            await asyncio.wait((watching, delivering), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            delivering.cancel()
            await asyncio.gather(watching, delivering, return_exceptions=True)
        if not delivering.cancelled() and (error := delivering.exception()) is not None:
            raise error

    def wake(self) -> None:
        self._more.set()

    def _send_soon(self, messages: list[Message]) -> None:
        self._late += messages
        self._more.set()

    async def _deliver(self) -> None:
        while not self._feed.ended:
            messages, self._late = self._late or self._feed.take(), []
            for message in messages:
                await self._deliver_one(message)
            if not messages:
                await self._more.wait()
                self._more.clear()

    async def _deliver_one(self, message: Message) -> None:
        self._blocked = self._active = True
        await self._send(message)
        self._blocked, self._active = False, True

    def _abort(self) -> None:
        if self._delivering is not None:
            self._delivering.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
