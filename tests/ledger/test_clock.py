"""The wall clock jumps, as clocks do: what is kept for a time is kept for it, and money does not care."""

from __future__ import annotations

from tests.ledger.crashing import Crashing
from tests.ledger.specimens import SCOPE, begun, opening, row, settlement

from tailrace.ledger import Bill, Budget, Count, Joined, Opened

HOUR = 3600.0


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_an_idempotency_key_is_kept_for_a_day(crashing: Crashing) -> None:
    """It elects for 24 hours, over jumps of an hour in both directions, and after a day it elects anew."""
    clock = Clock()
    ledger = (await crashing.start(clock=clock)).ledger
    asked = opening(created_at=clock.now, idempotency_key="once", body_hash="h")
    assert await ledger.begin(asked) == Opened()
    for jump in (-HOUR, HOUR, 23.9 * HOUR):
        clock.now = asked.created_at + jump
        assert await ledger.find_joined(SCOPE, "once", "h") == Joined(generation_id=asked.id)
        assert await ledger.begin(opening(idempotency_key="once", body_hash="h")) == Joined(generation_id=asked.id)
    clock.now = asked.created_at + 24 * HOUR
    assert await ledger.find_joined(SCOPE, "once", "h") is None
    anew = opening(created_at=clock.now, idempotency_key="once", body_hash="another")
    assert await ledger.begin(anew) == Opened()
    assert await ledger.find_joined(SCOPE, "once", "another") == Joined(generation_id=anew.id)


async def test_a_reservation_is_released_where_it_was_made(crashing: Crashing) -> None:
    """However the clock jumps between opening and settling, the budget's period gives back what it reserved."""
    clock = Clock()
    ledger = (await crashing.start(clock=clock)).ledger
    for period in ("day", "month", "total"):
        budget = Budget(amount=10, period=period)
        opened = await begun(ledger, created_at=clock.now, reserved=10, budget=budget)
        clock.now -= 40 * 24 * HOUR
        assert await ledger.settle(settlement(opened, settled_at=clock.now, cost=0))
        clock.now += 40 * 24 * HOUR
        assert await ledger.spent("k1", budget) == 0


async def test_a_swept_row_lasted_no_negative_time(crashing: Crashing) -> None:
    """A clock that went back while a process ran and died does not make its row last less than nothing."""
    clock = Clock()
    dying, ledger = await crashing.start(clock=clock), (await crashing.start(clock=clock)).ledger
    opened = await begun(dying.ledger, created_at=clock.now)
    clock.now -= HOUR
    dying.ledger.checkpoint({opened: Count(output_tokens=1, delivered_tokens=1)})
    await crashing.crash(dying)
    assert await ledger.sweep() == [opened]
    swept = await row(ledger, opened)
    assert (swept.output_tokens, swept.duration_ms) == (1, 0.0)


async def test_a_lease_that_brought_no_word_comes_again_in_doubt(crashing: Crashing) -> None:
    """A bill whose sender died is leased anew after a minute, in doubt since it was leased first."""
    clock = Clock()
    ledger = (await crashing.start(clock=clock)).ledger
    opened = await begun(ledger)
    bill = Bill(customer="c", meter="m", value=1)
    await ledger.settle(settlement(opened, settled_at=clock.now, bill=bill))
    (first,) = await ledger.due_parcels(limit=1)
    assert first.doubted_since is None
    clock.now += 59
    assert await ledger.due_parcels(limit=1) == []
    clock.now += 2
    (again,) = await ledger.due_parcels(limit=1)
    assert again.doubted_since == clock.now - 61
