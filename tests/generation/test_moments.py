"""Every order of things: whatever comes together, an answer that has ended has one terminal, and each has one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.generation.generating import Viewer, check, end_of, places_of
from tests.tap import Run, Tap

from tailrace.errors import RequestError, StreamError, UpstreamError
from tailrace.events import Failed, Finished, Started, UsageReported
from tailrace.generation import Attempt, Generation, Generations
from tailrace.metrics import Metrics
from tailrace.requests import ChatRequest
from tailrace.settings import OnDisconnect, StreamSettings

ERRORS: list[Exception] = [
    UpstreamError("upstream_cut", ""),
    UpstreamError("upstream_auth", ""),
    RequestError(422, "unsupported", ""),
    ZeroDivisionError(),
]
ENDS = {"stop", "cancelled", "draining", "too_long", "unsupported", "internal", "upstream_cut", "upstream_auth"} | {
    f"{what}_timeout" for what in ("first_token", "idle", "total")
}


class Life(RuleBasedStateMachine):
    """One answer's life: events of the upstream, the readers, the clock and the owner, some turns of the loop apart."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.tap = Tap()
        self.viewers: list[Viewer] = []

    @initialize(
        on_disconnect=st.sampled_from(["cancel", "continue", 0.0, 5.0]),
        retries=st.integers(0, 1),
        max_answer=st.sampled_from([6, 1000]),
    )
    def start(self, on_disconnect: OnDisconnect, retries: int, max_answer: int) -> None:
        """Begin; the upstream is not asked before a turn of the loop has passed."""
        settings = StreamSettings(retries=retries, max_answer=max_answer)
        self.generation: Generation = self.run(self._start(settings, on_disconnect))

    async def _start(self, settings: StreamSettings, on_disconnect: OnDisconnect) -> Generation:
        self.generations = Generations(settings, metrics=Metrics())
        attempt = Attempt(provider=self.tap, request=ChatRequest(model="m", messages=()))
        return self.generations.start([attempt, attempt], on_disconnect=on_disconnect)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def at_once(self, act: Any) -> None:
        """Do it inside the loop, without letting anything else have its turn."""

        async def acting() -> None:
            act()

        self.run(acting())

    @property
    def latest(self) -> Run:
        return self.tap.runs[-1]

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        """Let the loop go on."""
        for _ in range(turns):
            self.run(asyncio.sleep(0))

    @precondition(lambda self: self.tap.runs)
    @rule()
    def token(self) -> None:
        """The upstream says a word."""
        self.at_once(lambda: self.latest.say("word"))

    @precondition(lambda self: self.tap.runs and not self.generation.log.tail)
    @rule()
    def introduction(self) -> None:
        """The upstream says who it is."""
        self.at_once(self.latest.start)

    @precondition(lambda self: self.tap.runs)
    @rule()
    def usage(self) -> None:
        """The upstream says what it counts."""
        self.at_once(lambda: self.latest.say(UsageReported(output_tokens=1)))

    @precondition(lambda self: self.tap.runs)
    @rule()
    def finish(self) -> None:
        """The upstream ends."""
        self.at_once(self.latest.finish)

    @precondition(lambda self: self.tap.runs)
    @rule(error=st.sampled_from(ERRORS))
    def fail(self, error: Exception) -> None:
        """The upstream fails."""
        self.at_once(lambda: self.latest.fail(error))

    @rule()
    def connect(self) -> None:
        """A reader comes."""
        self.viewers.append(Viewer())
        self.at_once(lambda: self.generation.log.attach(self.viewers[-1]))

    @precondition(lambda self: self.viewers)
    @rule()
    def disconnect(self) -> None:
        """A reader leaves."""
        viewer = self.viewers.pop()
        self.at_once(lambda: self.generation.log.detach(viewer))

    @rule()
    def stop(self) -> None:
        """Somebody stops it."""
        self.at_once(lambda: self.generation.stop(StreamError("cancelled", "")))

    @rule(seconds=st.sampled_from([1.0, 70.0, 400.0, 2000.0]))
    def time_passes(self, seconds: float) -> None:
        """The sweep comes, as if so much time had passed."""
        self.at_once(lambda: self.generation.tick(self.loop.time() + seconds))

    @invariant()
    def at_most_one_terminal(self) -> None:
        """While it runs: no terminal but the last entry, and `Started` first."""
        log = getattr(self, "generation", None) and self.generation.log
        if log is None:
            return
        events = list(log.read(0, log.tail))
        assert len(places_of(events, Finished, Failed)) == (log.terminal is not None)
        if log.terminal is not None:
            check(log)
        elif events:
            assert places_of(events, Started) == [0]

    def teardown(self) -> None:
        """In the end it has ended, once, and the counts agree."""
        try:
            if hasattr(self, "generation"):
                self.run(self.generations.close())
                self.judge()
        finally:
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()

    def judge(self) -> None:
        """Look at the whole life."""
        assert end_of(check(self.generation.log)) in ENDS
        assert self.generations.metrics.open_streams == 0
        assert all(run.over for run in self.tap.runs)


TestLife = Life.TestCase
