"""Runs answers: each generation is a task of the application, never of the request that asked for it.

It asks the upstream, appends what comes to its log, feeds the meter, keeps the timeouts, obeys cancel, and settles
exactly once. Whoever reads the answer reads the log.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from tailrace.errors import RequestError, StreamError
from tailrace.events import Event, Failed, Finished, Started, UsageReported
from tailrace.meter import Meter
from tailrace.metrics import Metrics
from tailrace.providers import Finish, Provider
from tailrace.requests import ChatRequest
from tailrace.settings import OnDisconnect, StreamSettings
from tailrace.streamlog import Ring, RingLog

_BACKOFF_S: Final = 0.25
_SWEEP_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream to be asked, with the request in its own model's name."""

    provider: Provider
    request: ChatRequest


class Generation:
    """One answer being made. Its log is all that others see of it; `stop` is all that they may do to it."""

    def __init__(
        self,
        attempts: Sequence[Attempt],
        *,
        log: RingLog,
        settings: StreamSettings,
        on_disconnect: OnDisconnect,
        metrics: Metrics,
        request_id: str,
    ) -> None:
        loop = asyncio.get_running_loop()
        # For the generation's whole life
        self.log = log
        self.model = attempts[0].request.model
        self._attempts = attempts
        self._settings = settings
        self._on_disconnect = on_disconnect
        self._metrics = metrics
        self._request_id = request_id
        self._clock = loop.time
        self._began = loop.time()
        # For the attempt that runs
        self._meter = Meter(attempts[0].request, max_bytes=settings.max_answer)
        self._started: Started | None = None
        # As it goes
        self._heard = self._began
        self._first_content: float | None = None
        self._abandoned_at: float | None = None
        self._stopped: StreamError | None = None
        self._asking = False
        log.on_abandoned = self._abandon
        self.task = loop.create_task(self._run(), name=log.id)

    @property
    def id(self) -> str:
        return self.log.id

    # What comes from the upstream

    def __call__(self, events: list[Event]) -> None:
        """The provider's sink: log what one socket read brought. Raises the error that the answer was stopped with."""
        if self._stopped is not None:
            raise self._stopped
        now = self._clock()
        gap = now - self._heard
        self._heard = now
        events = self._meter.fold(events)
        if self._first_content is None:
            events = self._admit(events, now)
        elif events:
            self._metrics.observe_gap(gap, len(events))
        if events:
            self.log.append(events)

    def _admit(self, events: list[Event], now: float) -> list[Event]:
        """Hold `Started` back until there is content to go with it."""
        for event in events:
            if isinstance(event, Started):
                self._started = event
        content: list[Event] = [event for event in events if not isinstance(event, Started)]
        if not content:
            return content
        self._first_content = now
        self._metrics.observe_first_token(now - self._began)
        return [self._opening(), *content]

    def _opening(self) -> Started:
        return self._started or Started(model=self.model, created_at=time.time())

    # From the first attempt to the end

    async def _run(self) -> None:
        self._metrics.generation_started()
        await self._settle(await self._terminal())

    async def _terminal(self) -> Finished | Failed:
        """Make the answer, and say how it ended."""
        try:
            return self._finished(await self._ask_unless_stopped())
        except asyncio.CancelledError:
            return _failed(self._stopped or StreamError("interrupted", "the server stopped this answer"))
        except StreamError as error:
            return _failed(self._stopped or error)
        except RequestError as error:
            return Failed(code=error.code, message=error.message, status=error.status)
        except Exception:
            _log.exception("generation_failed", generation=self.id, request=self._request_id)
            return _failed(StreamError("internal", f"an error inside the server ended it ({self._request_id})"))

    async def _ask_unless_stopped(self) -> Finish:
        """A task that is cancelled before its first step never runs at all, so `stop` cancels only in here."""
        if self._stopped is not None:
            raise self._stopped
        self._asking = True
        try:
            return await self._ask()
        finally:
            self._asking = False
            if self._stopped is not None:
                # Stopped from within its own step, its cancellation is still to come: here, not while it settles.
                await asyncio.sleep(0)

    async def _ask(self) -> Finish:
        """The first answer that begins: each upstream in turn, the passing troubles of each tried again."""
        for attempt in self._attempts[:-1]:
            try:
                return await self._ask_one(attempt)
            except StreamError as error:
                if self._first_content is not None:
                    raise
                _log.warning("falling_back", generation=self.id, model=attempt.request.model, code=error.code)
        return await self._ask_one(self._attempts[-1])

    async def _ask_one(self, attempt: Attempt) -> Finish:
        self.model = attempt.request.model
        self._meter = Meter(attempt.request, max_bytes=self._settings.max_answer)
        for trial in range(self._settings.retries):
            self._started = None
            try:
                return await attempt.provider.run(attempt.request, self)
            except StreamError as error:
                if self._first_content is not None or not error.retryable:
                    raise
            await asyncio.sleep(_BACKOFF_S * 2**trial * random.uniform(0.5, 1.5))
        self._started = None
        return await attempt.provider.run(attempt.request, self)

    def _finished(self, finish: Finish) -> Finished:
        first = self._first_content
        return Finished(
            reason=finish.reason,
            native=finish.native,
            stop_sequence=finish.stop_sequence,
            ttft_ms=None if first is None else _ms(first - self._began),
            duration_ms=_ms(self._clock() - self._began),
        )

    async def _settle(self, terminal: Finished | Failed) -> None:
        usage = await self._usage(whole=isinstance(terminal, Finished))
        opening = [self._opening()] if self._first_content is None and isinstance(terminal, Finished) else []
        self.log.append([*opening, usage, terminal])
        # The log outlives the answer by minutes and shall not keep the whole request with it
        self.log.on_abandoned = None
        self._metrics.generation_ended(terminal, usage)

    async def _usage(self, *, whole: bool) -> UsageReported:
        if not whole and self._started is None and self._first_content is None:
            return UsageReported(input_tokens=0, output_tokens=0, source="counted")
        events = self.log.read(0, self.log.tail)
        return await self._meter.settle(events, whole=whole)

    # What others may do

    def stop(self, error: StreamError) -> None:
        """End it with this error, unless it has ended; the upstream's connection closes at once."""
        if self._stopped is not None or self.log.terminal is not None:
            return
        self._stopped = error
        if self._asking:
            self.task.cancel()

    async def ended(self) -> None:
        """Wait until it has settled."""
        await asyncio.wait((self.task,))

    def _abandon(self) -> None:
        if self._on_disconnect == "cancel":
            self.stop(StreamError("cancelled", "the reader left"))
        self._abandoned_at = self._clock()

    def tick(self, now: float) -> None:
        """Keep the timeouts; `now` is the event loop's clock."""
        if self.task.done() or self._stopped is not None:
            return
        if (overdue := self._overdue(now)) is not None:
            self.stop(overdue)

    def _overdue(self, now: float) -> StreamError | None:
        limits = self._settings
        if now - self._began > limits.total_s:
            return StreamError("total_timeout", f"the answer took longer than {limits.total_s:g} s")
        if self._first_content is None and now - self._began > limits.first_token_s:
            return StreamError("first_token_timeout", f"no first token within {limits.first_token_s:g} s")
        if self._first_content is not None and now - self._heard > limits.idle_s:
            return StreamError("idle_timeout", f"the upstream was silent for {limits.idle_s:g} s")
        if self._grace_is_over(now):
            return StreamError("cancelled", "the reader left and did not come back")
        return None

    def _grace_is_over(self, now: float) -> bool:
        if self._abandoned_at is None or isinstance(self._on_disconnect, str) or self.log.viewers:
            return False
        return now - self._abandoned_at > self._on_disconnect


class Generations:
    """All the answers of this process, under way and lately ended, and the one sweep that keeps their time."""

    def __init__(self, settings: StreamSettings, *, metrics: Metrics) -> None:
        self.ring = Ring()
        self.metrics = metrics
        self._settings = settings
        self._running: dict[str, Generation] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._interval = _sweep_interval(settings)
        self.draining = False

    def start(
        self,
        attempts: Sequence[Attempt],
        *,
        on_disconnect: OnDisconnect = "cancel",
        owner: str = "",
        dialect: str = "",
        request_id: str = "",
        settings: StreamSettings | None = None,
    ) -> Generation:
        """Begin an answer; its first upstream is asked in the event loop's next turn.

        `owner` and `dialect` stay with the log: who may read it, and the format it was asked for in.

        Raises RequestError 503 while draining.
        """
        if self.draining:
            raise RequestError(503, "draining", "the server is stopping and takes no new streams")
        settings = settings or self._settings
        self._interval = min(self._interval, _sweep_interval(settings))
        generation = Generation(
            attempts,
            log=self.ring.create(f"gen_{os.urandom(12).hex()}", owner=owner, dialect=dialect),
            settings=settings,
            on_disconnect=on_disconnect,
            metrics=self.metrics,
            request_id=request_id,
        )
        self._running[generation.id] = generation
        generation.task.add_done_callback(lambda _: self._running.pop(generation.id, None))
        self._keep_sweeping()
        return generation

    def get(self, generation_id: str) -> Generation | None:
        """The generation with this id while it runs."""
        return self._running.get(generation_id)

    def running(self) -> list[Generation]:
        """Those that run, oldest first."""
        return list(self._running.values())

    async def drain(self, seconds: float) -> None:
        """Take no new ones, let those that run end; after so many seconds seal the rest as `draining`."""
        self.draining = True
        await self._wait(seconds)
        for generation in self.running():
            generation.stop(StreamError("draining", "the server is stopping"))
        await self._wait(None)

    async def close(self) -> None:
        """Stop everything at once and leave nothing behind."""
        await self.drain(0)
        if self._timer is not None:
            self._timer.cancel()

    async def _wait(self, seconds: float | None) -> None:
        tasks = [generation.task for generation in self.running()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def _keep_sweeping(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._sweep)

    def _sweep(self) -> None:
        """Once a second: timeouts, heartbeats, and logs that nobody came back to. It stops where nothing is left."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for generation in self.running():
            generation.tick(now)
        self.ring.sweep(now)
        if self._running or len(self.ring):
            self._keep_sweeping()


def _sweep_interval(settings: StreamSettings) -> float:
    """A second, or less where a timeout is shorter than a few of them."""
    shortest = min(
        settings.first_token_s,
        settings.idle_s,
        settings.total_s,
        settings.send_s,
        settings.heartbeat_s,
        settings.status_wait_s,
    )
    return max(0.02, min(_SWEEP_S, shortest / 4))


def _failed(error: StreamError) -> Failed:
    return Failed(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        status=error.status,
        retry_after=error.retry_after,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
