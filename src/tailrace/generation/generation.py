"""Runs answers: each generation is a task of the application, never of the request that asked for it.

It asks the upstream, appends what comes to its log, feeds the meter, keeps the timeouts, obeys cancel, and settles
exactly once. Whoever reads the answer reads the log.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog

from tailrace.errors import RequestError, StreamError
from tailrace.events import Event, Failed, Finished, Started, UsageReported, is_bare
from tailrace.generation.accounts import Account, Answered
from tailrace.generation.attempts import Attempt
from tailrace.generation.endings import find_overdue, is_grace_over
from tailrace.generation.meter import Meter, count_deltas
from tailrace.generation.progress import Progress
from tailrace.ledger import Count, Pico, cost_of
from tailrace.metrics import Metrics
from tailrace.providers import Finish, refuse_foreign
from tailrace.settings import OnDisconnect, StreamSettings
from tailrace.streamlog import RingLog

_TOO_MANY: Final = 429
_BACKOFF_S: Final = 0.25

_log = structlog.get_logger(__name__)


class Generation:
    """One answer being made. Its log is all that others see of it; `stop` is all that they may do to it.

    `confirm` is awaited before the row is settled: whoever shares logs calls `lose` there if this one was taken over.
    """

    def __init__(
        self,
        attempts: Sequence[Attempt],
        *,
        loop: asyncio.AbstractEventLoop,
        log: RingLog,
        settings: StreamSettings,
        on_disconnect: OnDisconnect,
        metrics: Metrics,
        request_id: str,
        account: Account | None = None,
        prologue: Sequence[Event] = (),
        confirm: Callable[[RingLog], Awaitable[None]] | None = None,
    ) -> None:
        # For the generation's whole life
        self.log = log
        self.account = account
        self._attempts = attempts
        self._settings = settings
        self._on_disconnect = on_disconnect
        self._metrics = metrics
        self._request_id = request_id
        self._prologue = prologue
        self._confirm = confirm
        self._clock = loop.time
        self._began = loop.time()
        # For the attempt that runs
        self._attempt = attempts[0]
        self._meter = self._new_meter()
        self._started: Started | None = None
        self._held: list[Event] = []
        # As it goes
        self._heard = self._began
        self._first_content: float | None = None
        self._abandoned_at: float | None = None
        self._stopped: StreamError | None = None
        self._asked = False
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
        """Hold `Started`, and frames that say nothing, back until there is content to go with them."""
        for event in events:
            if type(event) is Started:
                self._started = event
            else:
                self._held.append(event)
        if all(map(is_bare, self._held)):
            return []
        self._first_content = now
        self._metrics.observe_first_token(now - self._began)
        return self._opening()

    def _opening(self) -> list[Event]:
        """What the log opens with, the content that was held back too."""
        started = self._started or Started(model=self._attempt.request.model, created_at=time.time())
        held, self._held = self._held, []
        return [*self._prologue, msgspec.structs.replace(started, input_tokens=self._input_tokens()), *held]

    def _new_meter(self) -> Meter:
        request = self._attempt.request
        affordable = math.inf
        if self.account is not None:
            affordable = self.account.affordable_tokens(self._attempt.tariff)
        return Meter(request, max_bytes=self._settings.max_answer, max_tokens=affordable)

    # From the first attempt to the end

    async def _run(self) -> None:
        self._metrics.generation_started()
        try:
            await self._settle(await self._terminal())
        except Exception:
            _log.exception("settling_failed", generation=self.id, request=self._request_id)
            await self._end_anyhow()

    async def _end_anyhow(self) -> None:
        """Whatever went wrong in settling: no reader waits for an end that never comes, and no row stays open."""
        if self.log.terminal is not None:
            return
        failed = Failed.of(StreamError("internal", f"an error inside the server ended it ({self._request_id})"))
        usage = UsageReported(output_tokens=self._meter.tokens, source="estimated")
        self._tell([usage, failed], failed, usage)
        if self.account is not None:
            await self._guard(self.account.return_lease(usage))
            await self._guard(self._close(self.account, failed, usage))

    async def _terminal(self) -> Finished | Failed:
        """Make the answer, and say how it ended."""
        try:
            return self._finished(await self._ask_unless_stopped())
        except asyncio.CancelledError:
            return Failed.of(self._stopped or StreamError("interrupted", "the server stopped this answer"))
        except StreamError as error:
            return Failed.of(self._stopped or error)
        except RequestError as error:
            return Failed(code=error.code, message=error.message, status=error.status, field=error.field)
        except Exception:
            _log.exception("generation_failed", generation=self.id, request=self._request_id)
            return Failed.of(StreamError("internal", f"an error inside the server ended it ({self._request_id})"))

    async def _ask_unless_stopped(self) -> Finish:
        """A task that is cancelled before its first step never runs at all, so `stop` cancels only in here."""
        if self._stopped is not None:
            raise self._stopped
        self._asked = self._asking = True
        try:
            return await self._ask()
        finally:
            self._asking = False
            if self.stopped:
                # Stopped from within its own step, its cancellation is still to come: here, not while it settles.
                await asyncio.sleep(0)

    async def _ask(self) -> Finish:
        """The first answer that begins: each upstream in turn, the passing troubles of each tried again."""
        for attempt in self._attempts[:-1]:
            try:
                return await self._ask_one(attempt)
            except StreamError as error:
                if self._has_content:
                    raise
                _log.warning("falling_back", generation=self.id, model=attempt.request.model, code=error.code)
        return await self._ask_one(self._attempts[-1])

    @property
    def _has_content(self) -> bool:
        """Whether there was content, though it may have been too much for the log: from then on no other is asked."""
        return self._first_content is not None or self._meter.deltas > 0

    async def _ask_one(self, attempt: Attempt) -> Finish:
        if attempt is not self._attempt:
            self._take_up(attempt)
        refuse_foreign(attempt.request, attempt.provider.kind)
        for trial in range(self._settings.retries):
            try:
                return await self._metrics.health.watch(attempt.provider.name, attempt.ask(self))
            except StreamError as error:
                # A 429 is the client's to wait out: it was told for how long, and may have other things to do
                if self._has_content or not error.retryable or error.status == _TOO_MANY:
                    raise
            await asyncio.sleep(_BACKOFF_S * 2**trial * random.uniform(0.5, 1.5))
            self._take_up(attempt)
        return await self._metrics.health.watch(attempt.provider.name, attempt.ask(self))

    def _take_up(self, attempt: Attempt) -> None:
        """Begin anew: of an attempt that came to nothing only its cost is kept."""
        if self.account is not None and self._meter.reported is not None:
            self.account.write_off(self._meter.reported, self._attempt.tariff)
        self._attempt = attempt
        self._meter = self._new_meter()
        self._started = None
        self._held.clear()

    def _finished(self, finish: Finish) -> Finished:
        return Finished(
            reason=finish.reason,
            native=finish.native,
            stop_sequence=finish.stop_sequence,
            frame=finish.frame,
            ttft_ms=self._ttft_ms,
            duration_ms=self._duration_ms,
        )

    @property
    def _ttft_ms(self) -> float | None:
        return None if self._first_content is None else round((self._first_content - self._began) * 1000, 1)

    @property
    def _duration_ms(self) -> float:
        return round((self._clock() - self._began) * 1000, 1)

    async def _settle(self, terminal: Finished | Failed) -> None:
        usage = await self._usage(whole=isinstance(terminal, Finished))
        opening = self._opening() if self._first_content is None and isinstance(terminal, Finished) else []
        end: list[Event] = [*opening, usage, terminal]
        if self.account is None:
            self._tell(end, terminal, usage)
        else:
            await self._settle_with(self.account, end, terminal, usage)
        # The log outlives the answer by minutes and shall not keep the whole request with it
        self.log.on_abandoned = None

    def _tell(self, end: list[Event], terminal: Finished | Failed, usage: UsageReported) -> None:
        """Seal the log; who reads the end finds it counted already."""
        self._metrics.generation_ended(terminal, usage)
        self.log.append(end)

    async def _settle_with(
        self, account: Account, end: list[Event], terminal: Finished | Failed, usage: UsageReported
    ) -> None:
        await self._guard(account.return_lease(usage))
        first = account.settles_first(began=self._has_content)
        if not first:
            self._tell(end, terminal, usage)
        if self.log.delivered < self.log.tail:
            # Viewers behind other people's middleware take what is there in the event loop's next turn
            await asyncio.sleep(0)
        await self._guard(self._close(account, terminal, usage))
        if first:
            self._tell(end, terminal, usage)

    async def _guard(self, work: Awaitable[None]) -> None:
        """Whatever goes wrong with the books, the answer gets its end."""
        try:
            await work
        except Exception:
            _log.exception("settling_failed", generation=self.id, request=self._request_id)

    async def _close(self, account: Account, terminal: Finished | Failed, usage: UsageReported) -> None:
        if self._confirm is not None:
            await self._confirm(self.log)
        await account.settle(
            Answered(
                provider=self._attempt.provider.name,
                model=self._attempt.name,
                price=self._attempt.tariff.price(usage.input_tokens or 0),
                terminal=terminal,
                usage=usage,
                delivered_tokens=self._delivered_tokens(usage.output_tokens or 0),
                duration_ms=self._duration_ms,
                ttft_ms=self._ttft_ms,
                events=self.log.read(0, self.log.tail) if account.keeps_session else (),
            )
        )

    def _delivered_tokens(self, output_tokens: int) -> int:
        """How many of the tokens a reader was handed: in proportion, for an upstream's pieces need not be tokens."""
        delivered = self.log.delivered
        everything = delivered >= self.log.tail and not self._meter.refused
        if everything or not self._meter.deltas:
            return output_tokens if delivered else 0
        return round(output_tokens * count_deltas(self.log.read(0, delivered)) / self._meter.deltas)

    def count(self) -> Count:
        """What it has come to so far, for the ledger's checkpoint."""
        output_tokens = self._meter.tokens
        return Count(
            input_tokens=self._input_tokens(),
            output_tokens=output_tokens,
            delivered_tokens=self._delivered_tokens(output_tokens),
        )

    def cost(self) -> Pico:
        """What it has come to so far, where its tokens have a price."""
        input_tokens = self._input_tokens() or 0
        price = self._attempt.tariff.price(input_tokens)
        cost = 0 if price is None else cost_of(price, input_tokens, 0, self._meter.tokens)
        return cost if self.account is None else cost + (self.account.lost or 0)

    def progress(self) -> Progress:
        """What it has come to so far, for whoever watches."""
        price = self._attempt.tariff.price(self._input_tokens() or 0)
        return Progress(
            provider=self._attempt.provider.name,
            model=self._attempt.name,
            input_tokens=self._input_tokens(),
            output_tokens=self._meter.tokens,
            cost=None if price is None else self.cost(),
            ttft_ms=self._ttft_ms,
        )

    def _input_tokens(self) -> int | None:
        """What the upstream says that it was asked, or our guess."""
        if self._meter.input_tokens is not None or self.account is None:
            return self._meter.input_tokens
        return self.account.input_tokens

    async def _usage(self, *, whole: bool) -> UsageReported:
        """A refusal costs nothing. Who stopped an upstream that was thinking does not learn what it charges."""
        if whole or self._has_content or self._meter.heard:
            return await self._metered(whole=whole)
        if not (self._asked and self.stopped):
            return UsageReported(input_tokens=0, output_tokens=0, source="counted")
        return msgspec.structs.replace(await self._metered(whole=False), source="estimated")

    async def _metered(self, *, whole: bool) -> UsageReported:
        events = self.log.read(0, self.log.tail)
        try:
            return await self._meter.settle(events, whole=whole)
        except Exception:
            _log.exception("metering_failed", generation=self.id, request=self._request_id)
            return UsageReported(
                input_tokens=self._input_tokens() or 0, output_tokens=self._meter.tokens, source="estimated"
            )

    # What others may do

    def stop(self, error: StreamError) -> None:
        """End it with this error, unless it has ended; the upstream's connection closes at once."""
        if self._stopped is not None or self.log.terminal is not None:
            return
        self._stopped = error
        if self._asking:
            self.task.cancel()

    def lose(self) -> None:
        """Another process has sealed its log and settles its row: end it, and close the upstream's connection."""
        if self.account is not None:
            self.account.forfeit()
        if self.log.terminal is None:
            self.log.torn = True
        self.stop(StreamError("interrupted", "another worker has taken this answer over"))

    @property
    def stopped(self) -> bool:
        """Whether somebody has ended it."""
        return self._stopped is not None

    async def ended(self) -> None:
        """Wait until it has settled."""
        await asyncio.wait((self.task,))

    def _abandon(self) -> None:
        if self.log.terminal is not None:
            return
        if self._on_disconnect == "cancel":
            self.stop(StreamError("cancelled", "the reader left"))
        self._abandoned_at = self._clock()

    def tick(self, now: float) -> None:
        """Keep the timeouts; `now` is the event loop's clock."""
        if self.task.done() or self._stopped is not None:
            return
        if (overdue := self._overdue(now)) is not None:
            self._metrics.health.note_stop(self._attempt.provider.name, overdue)
            self.stop(overdue)

    def _overdue(self, now: float) -> StreamError | None:
        alone_since = None if self.log.viewers else self._abandoned_at
        if is_grace_over(self._on_disconnect, now, alone_since=alone_since):
            return StreamError("cancelled", "the reader left and did not come back")
        answers = self._first_content is not None
        return find_overdue(self._settings, now, began=self._began, heard=self._heard, answers=answers)
