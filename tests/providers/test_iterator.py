"""Somebody's own iterator as an upstream: async or blocking, of text or of events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.waiting import until

from tailrace.errors import UpstreamError
from tailrace.events import Event, Failed, Finished, ReasoningDelta, TextDelta, UsageReported
from tailrace.providers import Finish
from tailrace.providers.iterator import IteratorProvider, Source
from tailrace.requests import ChatRequest

pytestmark = pytest.mark.usefixtures("no_leaks")

REQUEST = ChatRequest(model="iterator", messages=())


async def stream(*items: Any) -> AsyncIterator[Any]:
    """The items as an async iterator."""
    for item in items:
        yield item


def sources(*items: Any) -> list[Source]:
    """The items in every form in which an application may give them."""
    return [stream(*items), iter(items), list(items), (item for item in items)]


async def read(source: Source) -> tuple[list[Event], Finish]:
    """All events that the source becomes, and its end."""
    events: list[Event] = []
    finish = await IteratorProvider(source).run(REQUEST, events.extend)
    return events, finish


async def test_text_becomes_deltas() -> None:
    """Each str is one delta, empty ones are left out, and the end of the iterator is a finish."""
    for source in sources("one ", "", "two"):
        assert await read(source) == ([TextDelta(text="one "), TextDelta(text="two")], Finish(reason="stop"))


async def test_events_pass_as_they_are() -> None:
    """Events go through unchanged between pieces of text, and a `Finished` among them is the end with its reason."""
    items = ReasoningDelta(text="hm"), "text", UsageReported(output_tokens=2)
    end = Finished(reason="length", native="max", stop_sequence="x")
    for source in sources(*items, end):
        expected = [items[0], TextDelta(text="text"), items[2]]
        assert await read(source) == (expected, Finish(reason="length", native="max", stop_sequence="x"))


async def test_nothing_is_read_past_the_end() -> None:
    """What follows a terminal event is not taken, even where a thread had read ahead; a second terminal changes
    nothing."""
    for source in sources("a", Finished(reason="stop"), "b", Failed(code="internal", message="")):
        assert await read(source) == ([TextDelta(text="a")], Finish(reason="stop"))


@pytest.mark.parametrize(("code", "known"), [("idle_timeout", "idle_timeout"), ("home-made", "upstream_error")])
async def test_a_failed_event_fails(code: str, known: str) -> None:
    """A `Failed` among the events is the failure, with its words, its status and its code where that is one of ours."""
    for source in sources("a", Failed(code=code, message="why", status=504, retry_after=2.0, retryable=True)):
        events: list[Event] = []
        with pytest.raises(UpstreamError, match="why") as failed:
            await IteratorProvider(source).run(REQUEST, events.extend)
        error = failed.value
        assert events == [TextDelta(text="a")]
        assert (error.code, error.status, error.retry_after, error.retryable) == (known, 504, 2.0, True)


@pytest.mark.parametrize("item", [5, None, b"bytes", {"token": "x"}, ["a"]])
async def test_another_type_is_named(item: object) -> None:
    """An item that is neither text nor event is a TypeError that says what it was, after all that came before it."""
    for source in sources("a", item, "b"):
        events: list[Event] = []
        with pytest.raises(TypeError, match=f"yields str or tailrace events, not {type(item).__name__}"):
            await IteratorProvider(source).run(REQUEST, events.extend)
        assert events == [TextDelta(text="a")]


async def test_an_exception_comes_out_as_it_is() -> None:
    """What the iterator raises is its own business, after what it had yielded."""

    def blocking() -> Iterator[str]:
        yield "a"
        raise ZeroDivisionError("mine")

    async def running() -> AsyncIterator[str]:
        yield "a"
        raise ZeroDivisionError("mine")

    for source in (blocking(), running()):
        events: list[Event] = []
        with pytest.raises(ZeroDivisionError, match="mine"):
            await IteratorProvider(source).run(REQUEST, events.extend)
        assert events == [TextDelta(text="a")]


async def test_a_cancel_runs_the_finally_of_an_async_iterator() -> None:
    """Cancelled while its next item is awaited, the iterator sees the cancellation and cleans up before `run` ends."""
    cleaned = []

    async def waiting() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("yes")

    events: list[Event] = []
    running = asyncio.create_task(IteratorProvider(waiting()).run(REQUEST, events.extend))
    await until(lambda: events)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned == ["yes"]


async def test_a_cancel_stops_a_blocking_iterator() -> None:
    """Cancelled, a blocking iterator is closed in its thread at its next item."""
    go, closed = threading.Event(), threading.Event()

    def blocking() -> Iterator[str]:
        try:
            yield "a"
            go.wait(10)
            while True:
                yield "b"
        finally:
            closed.set()

    events: list[Event] = []
    running = asyncio.create_task(IteratorProvider(blocking()).run(REQUEST, events.extend))
    await until(lambda: events)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    go.set()
    await until(closed.is_set)
    assert events == [TextDelta(text="a")]


async def test_what_the_sink_raises_closes_the_iterator() -> None:
    """A sink that wants no more ends the iterator, and its error comes out."""
    cleaned = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "a"
        finally:
            cleaned.append("yes")

    def full(events: list[Event]) -> None:
        raise OverflowError

    with pytest.raises(OverflowError):
        await IteratorProvider(endless()).run(REQUEST, full)
    assert cleaned == ["yes"]


async def test_an_iterator_that_cannot_be_closed() -> None:
    """An async iterator without `aclose` is read to its end like any other."""

    class Countdown:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> Countdown:
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return f"{self.left}"

    assert await read(Countdown()) == ([TextDelta(text="1"), TextDelta(text="0")], Finish(reason="stop"))


async def test_it_is_a_provider_of_one_model() -> None:
    """It has a name, which is its only model, and nothing to open or close."""
    provider = IteratorProvider([], name="mine")
    await provider.open()
    assert (provider.kind, provider.default_model, await provider.models()) == ("iterator", "mine", ["mine"])
    await provider.close()
