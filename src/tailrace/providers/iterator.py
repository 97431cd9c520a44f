"""Somebody's own iterator as an upstream: of text, or of events, blocking or not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import Final, TypeAlias, cast, get_args

from tailrace.errors import UpstreamError
from tailrace.events import Event, Failed, Finished, TextDelta
from tailrace.providers.base import Finish, Provider, Sink
from tailrace.providers.threads import iterate
from tailrace.requests import ChatRequest

Source: TypeAlias = AsyncIterable[str | Event] | Iterable[str | Event]
"""What an application may give us to stream."""

_EVENTS: Final = get_args(Event)


class IteratorProvider(Provider):
    """Streams one iterator, once. Its clean end is a finish; what it raises is the application's own error."""

    kind = "iterator"

    def __init__(self, source: Source, *, name: str = "iterator") -> None:
        self.name = name
        self.default_model = name
        self._source = source

    async def open(self) -> None:
        """Nothing is shared by runs."""

    async def close(self) -> None:
        """Nothing to close."""

    async def models(self) -> list[str]:
        return [self.name]

    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        async with contextlib.aclosing(_batches(self._source)) as batches:
            async for batch in batches:
                events = [_event(item) for item in batch if item != ""]
                if events and isinstance(last := events[-1], (Finished, Failed)):
                    return _end(events, last, sink)
                sink(events)
        return Finish(reason="stop")


def _end(events: list[Event], last: Finished | Failed, sink: Sink) -> Finish:
    if len(events) > 1:
        sink(events[:-1])
    if isinstance(last, Failed):
        raise UpstreamError("upstream_error", last.message, retryable=last.retryable)
    return Finish(reason=last.reason, native=last.native, stop_sequence=last.stop_sequence)


async def _batches(source: Source) -> AsyncGenerator[list[str | Event], None]:
    """The items, together where several are ready; closing stops the source, wherever it runs."""
    if not isinstance(source, AsyncIterable):
        async with contextlib.aclosing(iterate(source)) as batches:
            async for batch in batches:
                yield batch
        return
    iterator = aiter(source)
    try:
        async for item in iterator:
            yield [item]
    finally:
        if (close := getattr(iterator, "aclose", None)) is not None:
            await close()


def _event(item: object) -> Event:
    if isinstance(item, str):
        return TextDelta(text=item)
    if isinstance(item, _EVENTS):
        return cast("Event", item)
    raise TypeError(f"an iterator to be streamed yields str or tailrace events, not {type(item).__name__}")
