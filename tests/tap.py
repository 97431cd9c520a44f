"""A provider that a test holds in its hand: it says what the test lets it say, and ends when the test ends it."""

from __future__ import annotations

import asyncio

from tests.waiting import until

from tailrace.errors import StreamError
from tailrace.events import Event, FinishReason, Started, TextDelta
from tailrace.providers import Finish, Provider, Sink
from tailrace.requests import ChatRequest


class Run:
    """One answer under way. Its events reach the sink from outside of the task, as those of a socket do."""

    def __init__(self, request: ChatRequest, sink: Sink) -> None:
        self.request = request
        self.cancelled = False
        self.over = False
        self._sink = sink
        self._end: asyncio.Future[Finish] = asyncio.get_running_loop().create_future()

    def say(self, *events: str | Event) -> None:
        """Hand these over together; a str is a piece of text. What the sink raises ends the run."""
        if self._end.done():
            return
        try:
            self._sink([TextDelta(text=event) if isinstance(event, str) else event for event in events])
        except Exception as error:
            self._end.set_exception(error)

    def start(self, model: str = "tap-1") -> None:
        """Say that the upstream began."""
        self.say(Started(model=model, created_at=1.0))

    def finish(self, reason: FinishReason = "stop") -> None:
        """End it whole."""
        if not self._end.done():
            self._end.set_result(Finish(reason=reason))

    def fail(self, error: Exception) -> None:
        """End it with an error."""
        if not self._end.done():
            self._end.set_exception(error)

    async def wait(self) -> Finish:
        try:
            return await self._end
        except asyncio.CancelledError:
            self.cancelled = True
            raise


class Tap(Provider):
    """`runs` are the answers that were asked for, in order. With `refusals` the first runs fail at once, with these."""

    kind = "tap"

    def __init__(self, *refusals: StreamError, name: str = "tap") -> None:
        self.name = name
        self.default_model: str | None = name
        self.runs: list[Run] = []
        self.is_open = False
        self._refusals = list(refusals)

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def models(self) -> list[str]:
        return [self.name]

    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        run = Run(request, sink)
        self.runs.append(run)
        try:
            if self._refusals:
                raise self._refusals.pop(0)
            return await run.wait()
        finally:
            run.over = True

    async def asked(self, times: int = 1) -> Run:
        """Wait until it was asked so often; the latest of those runs."""
        await until(lambda: len(self.runs) >= times)
        return self.runs[times - 1]
