"""One answer as it comes: its events, every token once, across connections that are lost and made again."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, cast

import httpx2
import msgspec

from tailrace.client.frames import Cursor, read_frame
from tailrace.client.wire import Wire
from tailrace.errors import FailureCode, RequestError, StreamError, TailraceError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.sse import Decoder

_FIRST_TRIES: Final = 3
_LONGEST_BACKOFF_S: Final = 10.0
_GONE: Final = frozenset({404, 410})
_AGAIN: Final = frozenset({429, 502, 503, 504})
_NOTHING_LEFT: Final = 204


class ToolUse(msgspec.Struct, kw_only=True):
    """A tool that the model calls; `arguments` is JSON text, whole once the answer has ended."""

    id: str
    name: str
    arguments: str = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A question that may be put again: the server answers the same `key` with the same generation.

    With `holds` the server waits for us to come back because the client asked for that, not its user.
    """

    body: Mapping[str, Any]
    holds: bool = False
    key: str = msgspec.field(default_factory=lambda: str(uuid.uuid4()))


class _LostError(TailraceError):
    """The connection is lost, or never came to be; `wait` is what the server asked for, in seconds."""

    def __init__(self, cause: Exception, *, wait: float | None = None) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.wait = wait


class Answer:
    """Iterate over it for the answer's events; what they come to so far stands in its attributes.

    `Finished` is the last event of a whole answer. One that fails raises StreamError with the failure's `code`, after
    the events that came before; one that the server refuses raises RequestError; UnreachableError is raised when the
    server could not be reached again in time. An answer that is left before its end is cancelled, unless it was
    attached to or `on_disconnect` was given.
    """

    def __init__(self, wire: Wire, *, ask: Ask | None = None, stream_id: str = "", after: int = 0) -> None:
        # For good
        self._wire = wire
        self._ask = ask
        self._events = self._follow()
        # As it comes
        self.id = stream_id
        self.text = ""
        self.reasoning = ""
        self.tool_calls: dict[int, ToolUse] = {}
        self.usage: UsageReported | None = None
        self.finish_reason: str | None = None
        self.cursor = f"{stream_id}.{after}" if after else ""
        self._retry_s: float | None = None
        self._progress = False
        self._ended = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def read(self) -> str:
        """Wait for the end and return the text."""
        async for _ in self:
            pass
        return self.text

    async def aclose(self) -> None:
        """Leave it; one of our own that still runs is cancelled, where nothing else was asked for."""
        await self._events.aclose()

    async def cancel(self) -> dict[str, Any]:
        """Stop it for everyone, and return its state. Raises RequestError, UnreachableError.

        Raises RuntimeError before the first event: there is nothing to stop yet, leave it instead.
        """
        if not self.id:
            raise RuntimeError("the answer has not begun: leave it with aclose()")
        state: dict[str, Any] = await self._wire.ask("POST", f"/v1/streams/{self.id}/cancel")
        return state

    # The connections

    async def _follow(self) -> AsyncGenerator[Event, None]:
        tries = 0
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            while not self._ended:
                self._progress = False
                try:
                    async with contextlib.aclosing(self._read_one()) as events:
                        async for event in events:
                            yield event
                except _LostError as lost:
                    if self._progress:
                        tries, since = 0, clock()
                    tries += 1
                    wait = self._back_off(tries) if lost.wait is None else lost.wait
                    if self._gives_up(tries, clock() + wait - since):
                        raise self._wire.lost(lost.cause) from lost.cause
                    await asyncio.sleep(wait)
        except (GeneratorExit, asyncio.CancelledError):
            await self._abandon()
            raise

    def _gives_up(self, tries: int, waited: float) -> bool:
        """A server that is not there at all is told at once; one that was there may come back."""
        if not self.id:
            return tries >= _FIRST_TRIES
        return waited > self._wire.patience.resume

    def _back_off(self, tries: int) -> float:
        """Twice as long at most with each try, and anything up to that, so that many clients do not come at once."""
        return random.uniform(0, min(_LONGEST_BACKOFF_S, math.ldexp(self._wire.patience.backoff, tries - 1)))

    async def _read_one(self) -> AsyncGenerator[Event, None]:
        """The events of one connection. Raises _LostError where it ends before the answer does."""
        try:
            async with self._connect() as response:
                if response.status_code == _NOTHING_LEFT:
                    raise StreamError("interrupted", "the server has nothing more of this answer, nor its end")
                self.id = response.headers.get("x-tailrace-stream", self.id)
                async for event in self._read_body(response):
                    yield event
        except httpx2.TransportError as error:
            raise _LostError(error) from error
        except RequestError as error:
            raise self._refused(error) from error
        if not self._ended:
            raise _LostError(ConnectionError("the connection ended before the answer did"), wait=self._retry_s)

    def _connect(self) -> contextlib.AbstractAsyncContextManager[httpx2.Response]:
        if self.id or self._ask is None:
            headers = {"last-event-id": self.cursor} if self.cursor else {}
            return self._wire.open("GET", f"/v1/streams/{self.id}?format=delta", headers=headers)
        headers = {"idempotency-key": self._ask.key}
        return self._wire.open("POST", "/v1/chat/stream", headers=headers, json=self._ask.body)

    def _refused(self, error: RequestError) -> TailraceError:
        """What a refusal means: of a question it is the answer; of a return, often a reason to wait."""
        if not self.cursor and self._ask is not None and not self.id:
            return error
        if error.status in _AGAIN:
            return _LostError(error, wait=_retry_after(error))
        if error.status in _GONE and self._ask is not None:
            return StreamError("interrupted", f"the rest of the answer is gone: {error.message}")
        return error

    async def _read_body(self, response: httpx2.Response) -> AsyncGenerator[Event, None]:
        decoder = Decoder()
        async for data in response.aiter_raw():
            for frame in decoder.feed(data):
                if self._is_new(frame.id):
                    for event in read_frame(frame):
                        self._fold(event)
                        yield event
            if decoder.retry is not None:
                self._retry_s = decoder.retry / 1000
            if self._ended:
                return

    def _is_new(self, place: str) -> bool:
        """Whether a frame comes after all that were read; from now on it counts as read."""
        if not place:
            return True
        if self.cursor and Cursor.parse(place) <= Cursor.parse(self.cursor):
            return False
        self.cursor = place
        return True

    def _fold(self, event: Event) -> None:
        self._progress = True
        match event:
            case TextDelta(text=text):
                self.text += text
            case ReasoningDelta(text=text):
                self.reasoning += text
            case ToolCallStarted(call=call, id=call_id, name=name):
                self.tool_calls[call] = ToolUse(id=call_id, name=name)
            case ToolCallDelta(call=call, arguments=arguments):
                self.tool_calls[call].arguments += arguments
            case UsageReported():
                self.usage = event
            case Finished(reason=reason):
                self.finish_reason = reason
                self._ended = True
            case Failed(code=code, message=message):
                self._ended = True
                raise StreamError(cast("FailureCode", code), message)

    async def _abandon(self) -> None:
        """Nobody reads on: say so, rather than let the server wait for us to come back."""
        if self.id and not self._ended and self._ask is not None and self._ask.holds:
            with contextlib.suppress(TailraceError):
                await self.cancel()


def _retry_after(error: RequestError) -> float | None:
    after = error.headers.get("retry-after", "")
    return float(after) if after.isdigit() else None
