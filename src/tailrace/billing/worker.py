"""Empties the outbox: takes the bills that are due, tells the billing service, and writes down what came of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, assert_never

import structlog

from tailrace.billing.base import Accepted, Deferred, Outcome, Refused, Sender
from tailrace.errors import StoreError
from tailrace.ledger.base import Ledger, Parcel
from tailrace.metrics import Metrics

_POLL_S: Final = 2.0
_AT_ONCE: Final = 16
_LONGEST_WAIT_S: Final = 60.0
_LONGEST_DELAY_S: Final = 600.0
_LONGEST_ASKED_S: Final = 3600.0
_STOP_S: Final = 5.0

_DOUBT_S: Final = 24 * 3600.0 - 600.0
"""How long a repeat is told apart from a second bill, less what an answer and two clocks may be off."""

_log = structlog.get_logger(__name__)


class BillingWorker:
    """One task that runs beside the application. Any number of them, in any number of processes, share an outbox.

    Each bill is told until the service has it, refuses it, or has left us in doubt for so long that telling it again
    could bill it twice: then it is given up, loudly, and stays in the outbox for a human.
    """

    def __init__(
        self,
        ledger: Ledger,
        sender: Sender,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
        poll_s: float = _POLL_S,
    ) -> None:
        # Shared with the application
        self._ledger = ledger
        self._sender = sender
        self._metrics = metrics
        self._clock = clock
        self._poll_s = poll_s
        # From start to stop
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        # From one round to the next
        self._bad_rounds = 0
        self._held_until = 0.0

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="billing")

    async def stop(self) -> None:
        """End once the calls under way are answered, or after 5 s; then let the connections go."""
        self._stopping.set()
        task, self._task = self._task, None
        if task is not None:
            _, late = await asyncio.wait({task}, timeout=_STOP_S)
            for each in late:
                each.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._sender.close()

    async def deliver_due(self) -> bool:
        """Tell the service of what is due, once around; whether there may be more. Raises StoreError.

        Nothing is told while the service has asked to be left alone.
        """
        if self._clock() < self._held_until:
            return False
        parcels = await self._ledger.due_parcels(limit=_AT_ONCE)
        settled = await asyncio.gather(*(self._try_deliver(parcel) for parcel in parcels))
        self._bad_rounds = self._bad_rounds + 1 if parcels and not any(settled) else 0
        return any(settled)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            if not await self._try_round():
                await self._pause(max(self._poll_s, _backoff(self._bad_rounds, _LONGEST_WAIT_S)))

    async def _try_round(self) -> bool:
        try:
            return await self.deliver_due()
        except StoreError as error:
            _log.warning("billing_waits", error=str(error))
        except Exception:
            _log.exception("billing_failed")
        self._bad_rounds += 1
        return False

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _try_deliver(self, parcel: Parcel) -> bool:
        """Deliver, whatever the ledger does: one whose outcome could not be written comes again, and is a repeat."""
        try:
            return await self._deliver(parcel)
        except StoreError as error:
            _log.warning("billing_waits", **_facts(parcel), error=str(error))
            return False

    async def _deliver(self, parcel: Parcel) -> bool:
        """Whether this bill is off the list."""
        if parcel.doubted_since is not None and self._clock() - parcel.doubted_since >= _DOUBT_S:
            await self._give_up(parcel, "in doubt for 24 h: it may have been billed, and sent again it could be twice")
            return True
        match outcome := await self._send(parcel):
            case Accepted():
                await self._ledger.parcel_sent(parcel.generation_id)
                self._metrics.bill_told(parcel.bill.meter, "sent")
            case Refused(reason=reason):
                await self._give_up(parcel, reason)
            case Deferred():
                await self._put_off(parcel, outcome)
                return False
            case _:
                assert_never(outcome)
        return True

    async def _send(self, parcel: Parcel) -> Outcome:
        try:
            return await self._sender.send(parcel)
        except Exception as error:
            _log.exception("billing_sender_failed", generation=parcel.generation_id)
            return Deferred(reason=type(error).__name__, doubtful=True)

    async def _give_up(self, parcel: Parcel, reason: str) -> None:
        await self._ledger.parcel_given_up(parcel.generation_id, error=reason)
        self._metrics.bill_told(parcel.bill.meter, "given_up")
        _log.error("bill_given_up", **_facts(parcel), reason=reason)

    async def _put_off(self, parcel: Parcel, outcome: Deferred) -> None:
        asked = min(outcome.retry_after_s or 0.0, _LONGEST_ASKED_S)
        self._held_until = max(self._held_until, self._clock() + asked)
        delay = max(asked, _backoff(parcel.attempts + 1, _LONGEST_DELAY_S))
        await self._ledger.parcel_failed(
            parcel.generation_id,
            retry_at=self._clock() + delay,
            error=outcome.reason,
            doubtful=outcome.doubtful,
        )
        self._metrics.bill_told(parcel.bill.meter, "put_off")
        _log.warning("bill_put_off", **_facts(parcel), reason=outcome.reason, retry_in_s=round(delay, 1))


def _backoff(failures: int, longest_s: float) -> float:
    """Seconds to wait after so many failures: twice as long each time, less up to half, so that none march in step."""
    return min(longest_s, 0.5 * 2.0 ** min(failures, 16)) * random.uniform(0.5, 1.0) if failures else 0.0


def _facts(parcel: Parcel) -> dict[str, object]:
    bill = parcel.bill
    return {"generation": parcel.generation_id, "customer": bill.customer, "meter": bill.meter, "value": bill.value}
