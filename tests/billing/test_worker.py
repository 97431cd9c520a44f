"""From the outbox to the invoice: every settled row is on it once, whatever befalls the calls and the processes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from structlog.testing import capture_logs
from tests.billing.installation import HOUR_S, METER, MINUTE_S, Clock, Installation
from tests.stripe_server import Fault, StripeServer
from tests.waiting import until

from tailrace.billing import BillingWorker
from tailrace.errors import StoreError
from tailrace.ledger import Ledger, Parcel

pytestmark = pytest.mark.usefixtures("no_leaks")


async def deliver_all(worker: BillingWorker, clock: Clock, *, within_s: float = HOUR_S) -> None:
    """Let rounds and time pass."""
    end = clock() + within_s
    while clock() < end:
        await deliver_now(worker)
        clock.advance(MINUTE_S)


async def deliver_now(worker: BillingWorker) -> None:
    """Go on while there may be more."""
    while await worker.deliver_due():
        pass


def assert_billed_once(installation: Installation) -> None:
    """Each settled row is on the invoice once, at its value, and the outbox knows it."""
    invoice = installation.stripe.invoice
    assert {event.identifier: event.value for event in invoice} == installation.owed
    assert len(invoice) == len(installation.owed)
    assert installation.states() == {"sent"}
    assert installation.stripe.overlaps == 0


async def test_rows_of_customers_are_billed_and_others_are_not(installation: Installation, clock: Clock) -> None:
    """Every row of a key with a customer is billed to that customer; a row without one is not billed at all."""
    async with installation.process() as (ledger, worker):
        for customer in ("cus_a", "cus_b", "cus_a", None):
            await installation.settle(ledger, customer)
        installation.owed.popitem()
        await deliver_all(worker, clock)
    assert_billed_once(installation)
    assert (installation.stripe.billed("cus_a"), installation.stripe.billed("cus_b")) == (14, 7)


async def test_faults_and_a_restart(installation: Installation, stripe: StripeServer, clock: Clock) -> None:
    """Under 500s, 429s, dropped answers and a restart in between, every settled row is billed exactly once."""
    stripe.faults.extend([fault for fault in Fault if fault is not Fault.TAKEN_SILENCE] * 3)
    async with installation.process() as (ledger, worker):
        for customer in ("cus_a", "cus_b", "cus_c") * 4:
            await installation.settle(ledger, customer)
        await deliver_all(worker, clock, within_s=2 * MINUTE_S)
    assert "waiting" in installation.states()
    async with installation.process() as (_, worker):
        await deliver_all(worker, clock, within_s=2 * HOUR_S)
    assert_billed_once(installation)


async def test_a_process_that_dies_with_an_answer_under_way(
    installation: Installation, stripe: StripeServer, clock: Clock
) -> None:
    """A bill that was taken while its process died before it knew is not billed again by the next one."""
    stripe.gate = asyncio.Event()
    async with installation.process() as (ledger, worker):
        await installation.settle(ledger)
        delivering = asyncio.create_task(worker.deliver_due())
        await until(lambda: stripe.calls)
        delivering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await delivering
    stripe.gate.set()
    await until(lambda: stripe.invoice)
    clock.advance(2 * MINUTE_S)
    async with installation.process() as (_, worker):
        assert await worker.deliver_due()
    assert_billed_once(installation)
    assert len(stripe.calls) == 2


async def test_workers_share_an_outbox(installation: Installation, stripe: StripeServer, clock: Clock) -> None:
    """Two processes at once bill every row once, and never call twice at a time for one customer and meter."""
    async with installation.process() as (ledger, worker), installation.process() as (_, other):
        for customer in ("cus_a", "cus_b") * 10:
            await installation.settle(ledger, customer)
        await asyncio.gather(deliver_now(worker), deliver_now(other))
    assert_billed_once(installation)
    assert len(stripe.calls) == 20


async def test_a_wrong_row_holds_nobody_up(installation: Installation, clock: Clock) -> None:
    """A row that Stripe refuses is given up at once, with Stripe's reason, reported; the others are billed."""
    async with installation.process() as (ledger, worker):
        wrong = await installation.settle(ledger, "cus_nobody")
        await installation.settle(ledger)
        with capture_logs() as logs:
            await worker.deliver_due()
    reason = "Stripe answered 400: No such customer: 'cus_nobody'"
    assert installation.outbox()[wrong] == ("given_up", reason)
    assert installation.stripe.billed("cus_a") == 7
    told = [entry for entry in logs if entry["event"] == "bill_given_up"]
    assert [(entry["log_level"], entry["generation"], entry["reason"]) for entry in told] == [("error", wrong, reason)]
    samples = {tuple(s.labels.values()): s.value for family in installation.metrics.collect() for s in family.samples}
    assert samples[METER, "given_up"] == 1
    assert samples[METER, "sent"] == 1


async def test_doubt_ends_after_a_day(installation: Installation, stripe: StripeServer, clock: Clock) -> None:
    """After 24 hours of lost answers a bill is given up: Stripe may forget its id, and another try bill it twice."""
    stripe.faults.extend([Fault.TAKEN_DROP] + [Fault.UNTAKEN_DROP] * 10_000)
    async with installation.process() as (ledger, worker):
        doubted = await installation.settle(ledger)
        await deliver_all(worker, clock, within_s=23 * HOUR_S)
        assert installation.states() == {"waiting"}
        await deliver_all(worker, clock, within_s=2 * HOUR_S)
        stripe.faults.clear()
        await deliver_all(worker, clock)
    state, error = installation.outbox()[doubted]
    assert state == "given_up"
    assert error is not None
    assert "in doubt for 24 h" in error
    assert stripe.times_billed() == {doubted: 1}


async def test_a_death_is_doubt_too(installation: Installation, stripe: StripeServer, clock: Clock) -> None:
    """A bill whose process died in mid-call is not sent again two days later: it may have been billed."""
    stripe.gate = asyncio.Event()
    async with installation.process() as (ledger, worker):
        doubted = await installation.settle(ledger)
        delivering = asyncio.create_task(worker.deliver_due())
        await until(lambda: stripe.calls)
        delivering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await delivering
    stripe.gate.set()
    await until(lambda: stripe.invoice)
    clock.advance(48 * HOUR_S)
    async with installation.process() as (_, worker):
        await deliver_all(worker, clock)
    assert installation.outbox()[doubted][0] == "given_up"
    assert stripe.times_billed() == {doubted: 1}


async def test_an_outage_of_days_loses_nothing(installation: Installation, stripe: StripeServer, clock: Clock) -> None:
    """Rows that Stripe surely has not got wait for as long as it takes, and keep the time of their use."""
    stripe.meters.clear()
    used_at = clock()
    async with installation.process() as (ledger, worker):
        await installation.settle(ledger)
        await deliver_all(worker, clock, within_s=72 * HOUR_S)
        assert installation.states() == {"waiting"}
        stripe.meters.add(METER)
        await deliver_all(worker, clock)
    assert_billed_once(installation)
    assert stripe.invoice[0].timestamp == int(used_at)


async def test_retries_slow_down(installation: Installation, stripe: StripeServer, clock: Clock) -> None:
    """A bill that fails is tried less and less often, never more than ten minutes apart."""
    stripe.faults.extend([Fault.UNTAKEN_ERROR] * 1000)
    async with installation.process() as (ledger, worker):
        await installation.settle(ledger)
        await deliver_all(worker, clock)
        first_hour = len(stripe.calls)
        await deliver_all(worker, clock)
    assert 10 <= first_hour <= 25
    assert 6 <= len(stripe.calls) - first_hour <= 12


async def test_retry_after_is_obeyed(installation: Installation, stripe: StripeServer, clock: Clock) -> None:
    """While Stripe has asked to be left alone, no bill is told, whosever it is."""
    stripe.faults.append(Fault.RATE_LIMITED)
    stripe.retry_after = 300
    async with installation.process() as (ledger, worker):
        await installation.settle(ledger)
        await worker.deliver_due()
        await installation.settle(ledger, "cus_b")
        await deliver_all(worker, clock, within_s=4 * MINUTE_S)
        assert len(stripe.calls) == 1
        await deliver_all(worker, clock)
    assert_billed_once(installation)


async def test_it_runs_beside_the_application(installation: Installation, stripe: StripeServer) -> None:
    """From start to stop what is settled is billed by itself, and stop waits for the call under way."""
    async with installation.process() as (ledger, worker):
        worker.start()
        await installation.settle(ledger)
        await until(lambda: len(stripe.invoice) == 1)
        stripe.gate = asyncio.Event()
        await installation.settle(ledger)
        await until(lambda: len(stripe.calls) == 2)
        asyncio.get_running_loop().call_later(0.02, stripe.gate.set)
        await worker.stop()
        assert installation.states() == {"sent"}
    assert_billed_once(installation)


class _FailingLedger:
    """A ledger whose database is away for the calls of these names."""

    def __init__(self, ledger: Ledger, *names: str) -> None:
        self._ledger = ledger
        self.away = set(names)

    def __getattr__(self, name: str) -> object:
        if name in self.away:
            return self._fail
        return getattr(self._ledger, name)

    async def _fail(self, *_: object, **__: object) -> list[Parcel]:
        raise StoreError("the database does not answer")


async def test_a_database_that_is_away(installation: Installation, stripe: StripeServer, clock: Clock) -> None:
    """A bill whose delivery could not be written down is told again, once its lease is over, and billed once."""
    async with installation.process() as (ledger, worker):
        await installation.settle(ledger)
        away = _FailingLedger(ledger, "parcel_sent")
        worker._ledger = away  # type: ignore[assignment]
        assert not await worker.deliver_due()
        away.away = {"due_parcels"}
        with pytest.raises(StoreError):
            await worker.deliver_due()
        away.away.clear()
        await deliver_all(worker, clock)
    assert_billed_once(installation)
    assert len(stripe.calls) == 2
