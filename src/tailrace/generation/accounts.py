"""The money side of one generation: what it may still cost, what it has come to, and its row's settlement."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import structlog

from tailrace.billing import bill_for
from tailrace.errors import RequestError
from tailrace.events import Event, Failed, Finished, UsageReported
from tailrace.generation.conversations import answer_turn
from tailrace.generation.filing import Annex
from tailrace.ledger import Ledger, Opening, Pico, Price, Settlement, Turn, cost_of
from tailrace.limits import Lease
from tailrace.prices import Tariff

_log = structlog.get_logger(__name__)

Status = Literal["finished", "aborted", "failed", "interrupted"]

_STATUSES: Final[dict[str, Status]] = {"cancelled": "aborted", "interrupted": "interrupted"}


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer ended: who gave it, its terminal, the meter's final word, how much of it a reader was handed.

    `ttft_ms` is None where there was no content; `events` are needed only where a session keeps them.
    """

    provider: str
    model: str
    price: Price | None
    terminal: Finished | Failed
    usage: UsageReported
    delivered_tokens: int
    duration_ms: float
    ttft_ms: float | None
    events: Sequence[Event]


class Account:
    """Opened with its row; `settle` closes it, once.

    `input_tokens` is the best guess of what the upstream is asked, until it says so itself. `lost` is what attempts
    that came to nothing have cost, None where nobody knows.
    """

    def __init__(
        self,
        ledger: Ledger,
        opening: Opening,
        lease: Lease,
        *,
        allowance: Pico | None = None,
        annex: Annex | None = None,
    ) -> None:
        self.opening = opening
        self.input_tokens = opening.input_tokens
        self.lost: Pico | None = 0
        self.keeps_session = opening.session_id is not None
        self._ledger = ledger
        self._lease = lease
        self._allowance = allowance
        self._annex = annex
        self._forfeited = False

    def write_off(self, reported: UsageReported, tariff: Tariff) -> None:
        """An attempt came to nothing after it had reported usage: that is its own word for what it costs."""
        if self.lost is not None and (reported.input_tokens or reported.output_tokens):
            cost = _cost(tariff.price(reported.input_tokens or 0), reported)
            self.lost = None if cost is None else self.lost + cost

    def affordable_tokens(self, tariff: Tariff) -> float:
        """How many output tokens the budget still allows."""
        if self._allowance is None or (price := tariff.price(self.input_tokens)) is None:
            return math.inf
        left = self._allowance - (self.lost or 0) - self.input_tokens * price.input
        if not price.output:
            return math.inf if left >= 0 else 0.0
        return max(0.0, left / price.output)

    def settles_first(self, *, began: bool) -> bool:
        """Whether the answer's end must wait for the settlement; `began`: there was content.

        Who reads the end may ask again at once, and shall not be refused for a session that still runs or a
        reservation that still holds, nor be handed a failure whose idempotency key is not free yet.
        """
        opening = self.opening
        return self.keeps_session or opening.budget is not None or (opening.idempotency_key is not None and not began)

    async def return_lease(self, usage: UsageReported) -> None:
        """Give the limits back what was reserved of them; do it before the answer's end can be read."""
        await self._lease.settle((usage.input_tokens or 0) + (usage.output_tokens or 0))

    async def settle(self, answered: Answered) -> None:
        """Write the final figures to the ledger. While the database is down they wait in the ledger's spool."""
        if self._forfeited:
            return
        patient = not self.settles_first(began=answered.ttft_ms is not None)
        if not await self._ledger.settle(self._settlement(answered), patient=patient):
            _log.warning("settled_by_another", generation=self.opening.id)

    def forfeit(self) -> None:
        """Another process settles the row: nothing more is written to it here."""
        self._forfeited = True
        self._ledger.forfeit(self.opening.id)

    async def withdraw(self, error: BaseException) -> None:
        """Close the row of a generation that never began; its lease stays with whoever took it."""
        reason = error.code if isinstance(error, RequestError) else "internal"
        await self.settle(
            Answered(
                provider=self.opening.provider,
                model=self.opening.model,
                price=self.opening.price,
                terminal=Failed(code=reason, message=""),
                usage=UsageReported(input_tokens=0, output_tokens=0, source="counted"),
                delivered_tokens=0,
                duration_ms=(time.time() - self.opening.created_at) * 1000,
                ttft_ms=None,
                events=(),
            )
        )

    def _settlement(self, answered: Answered) -> Settlement:
        usage, terminal = answered.usage, answered.terminal
        now = time.time()
        return Settlement(
            id=self.opening.id,
            status=settled_status(terminal),
            reason=terminal.reason if isinstance(terminal, Finished) else terminal.code,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens or 0,
            reasoning_tokens=usage.reasoning_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            source=usage.source,
            delivered_tokens=answered.delivered_tokens,
            cost=self._cost(answered),
            price=answered.price,
            ttft_ms=answered.ttft_ms,
            duration_ms=answered.duration_ms,
            settled_at=now,
            answer=self._answer(answered, now),
            bill=bill_for(
                self.opening.customer,
                self.opening.meter,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
            ),
            frees_idempotency_key=isinstance(terminal, Failed) and answered.ttft_ms is None and not usage.output_tokens,
            provider=answered.provider,
            model=answered.model,
        )

    def _cost(self, answered: Answered) -> Pico | None:
        """All that was spent on the answer: a cost that is not known is never taken for zero."""
        cost = _cost(answered.price, answered.usage)
        return None if cost is None or self.lost is None else cost + self.lost

    def _answer(self, answered: Answered, now: float) -> Turn | None:
        if not self.keeps_session:
            return None
        whole = isinstance(answered.terminal, Finished)
        more = () if self._annex is None else self._annex((*answered.events, answered.terminal))
        return answer_turn(answered.events, generation_id=self.opening.id, now=now, whole=whole, more=more)


def settled_status(terminal: Finished | Failed) -> Status:
    """The word of a usage row for how an answer ended."""
    return "finished" if isinstance(terminal, Finished) else _STATUSES.get(terminal.code, "failed")


def _cost(price: Price | None, usage: UsageReported) -> Pico | None:
    if price is None:
        return None
    return cost_of(price, usage.input_tokens or 0, usage.cached_input_tokens or 0, usage.output_tokens or 0)
