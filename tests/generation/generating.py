"""One answer under way, for the tests of how it ends; and what must hold of every log that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.upstream import DEADLINE_S

from tailrace.events import Event, Failed, Finished, Started, TextDelta, UsageReported
from tailrace.generation import Attempt, Generation, Generations
from tailrace.metrics import Metrics
from tailrace.providers import Provider
from tailrace.requests import ChatRequest, user_message
from tailrace.settings import OnDisconnect, StreamSettings
from tailrace.streamlog import StreamLog


class Viewer:
    """A reader of a log that does nothing."""

    position = 0

    def wake(self) -> None:
        pass

    def tick(self, now: float) -> None:
        pass


@asynccontextmanager
async def generating(
    *providers: Provider, on_disconnect: OnDisconnect = "cancel", **settings: Any
) -> AsyncIterator[Generation]:
    """An answer under way from these providers, each a fallback of those before; retried only where asked for."""
    generations = Generations(StreamSettings(**{"retries": 0, **settings}), metrics=Metrics())
    for provider in providers:
        await provider.open()
    request = ChatRequest(model="m", messages=(user_message("Hi"),))
    attempts = [Attempt(provider=provider, request=request) for provider in providers]
    try:
        yield generations.start(attempts, on_disconnect=on_disconnect, request_id="req_1")
    finally:
        await generations.close()
        for provider in providers:
            await provider.close()


async def settled(generation: Generation) -> list[Event]:
    """The whole log, once the answer has ended, after a look at what must hold for every end."""
    async with asyncio.timeout(DEADLINE_S):
        await generation.ended()
    generation.task.result()
    return check(generation.log)


def check(log: StreamLog) -> list[Event]:
    """One terminal, last; the meter's usage right before it and nowhere else; `Started` before any content."""
    events = list(log.read(0, log.tail))
    assert places_of(events, Finished, Failed) == [len(events) - 1]
    assert log.terminal is events[-1]
    assert places_of(events, UsageReported) == [len(events) - 2]
    assert places_of(events, Started) == ([0] if len(events) > 2 or isinstance(events[-1], Finished) else [])
    return events


def places_of(events: list[Event], *kinds: type[Event]) -> list[int]:
    """Where events of these kinds stand."""
    return [place for place, event in enumerate(events) if isinstance(event, kinds)]


def text_of(events: list[Event]) -> str:
    """The answer's text."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def end_of(events: list[Event]) -> str:
    """The finish reason, or the failure's code."""
    last = events[-1]
    assert isinstance(last, Finished | Failed)
    return last.reason if isinstance(last, Finished) else last.code
