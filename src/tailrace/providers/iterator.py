"""Somebody's own iterator as an upstream: of text, or of events, blocking or not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import Final, TypeAlias, get_args

from tailrace.errors import HTTP_STATUS, FailureCode, UpstreamError
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
                events, end = _read(batch)
                if events or end is None:
                    sink(events)
                if end is not None:
                    return _end(end)
        return Finish(reason="stop")


def _read(batch: list[str | Event]) -> tuple[list[Event], Finished | Failed | TypeError | None]:
    """The events up to the first item that ends it all, and that one: nothing is read past it."""
    events: list[Event] = []
    for item in batch:
        if isinstance(item, str):
            if item:
                events.append(TextDelta(text=item))
        elif isinstance(item, (Finished, Failed)):
            return events, item
        elif isinstance(item, _EVENTS):
            events.append(item)
        else:
            kind = type(item).__name__
            return events, TypeError(f"an iterator to be streamed yields str or tailrace events, not {kind}")
    return events, None


def _end(end: Finished | Failed | TypeError) -> Finish:
    match end:
        case Finished(reason=reason, native=native, stop_sequence=stop_sequence):
            return Finish(reason=reason, native=native, stop_sequence=stop_sequence)
        case Failed(code=code, message=message):
            known: FailureCode = code if code in HTTP_STATUS else "upstream_error"
            raise UpstreamError(
                known,
                message,
                status=end.status,
                retry_after=end.retry_after,
                retryable=end.retryable,
                field=end.field,
            )
        case TypeError():
            raise end


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
