"""What comes to a ledger at once may be written at once, and is still each caller's own."""

from __future__ import annotations

import asyncio

import pytest
from tests.ledger.installation import Installation
from tests.ledger.specimens import begun, opening, row, settlement

from tailrace.errors import StoreError
from tailrace.ledger import Bill, Budget, Ledger, Opened, Price, Scope

TOTAL = Budget(amount=10**15, period="total")
DAY_S = 86_400.0
PRICE = Price(input=2, cached_input=1, output=10)


@pytest.mark.parametrize("count", [1, 2, 5, 63, 64, 65, 150])
async def test_all_that_comes_at_once_is_written(ledger: Ledger, count: int) -> None:
    """However many open and settle at once, each row has its own figures or none, and the sums are those of all."""
    asked = [opening(model=f"m{place}", scope=Scope(key_id=f"k{place % 3}")) for place in range(count)]
    assert await asyncio.gather(*map(ledger.begin, asked)) == [Opened()] * count
    ends = [
        settlement(one.id, output_tokens=place, cost=place, price=PRICE if place % 2 else None, ttft_ms=place / 8)
        for place, one in enumerate(asked)
    ]
    assert await asyncio.gather(*(ledger.settle(end, patient=True) for end in ends)) == [True] * count
    rows = {found.id: found for found in (await ledger.rows(Scope(), limit=999)).items}
    assert len(rows) == count
    for place, one in enumerate(asked):
        found = rows[one.id]
        assert (found.model, found.scope, found.status) == (one.model, one.scope, "finished")
        assert found.price == (PRICE if place % 2 else None)
        assert (found.output_tokens, found.cost, found.ttft_ms) == (place, place, place / 8)
        assert (found.reasoning_tokens, found.session_id) == (None, None)
    for key in range(3):
        assert await ledger.spent(f"k{key}", TOTAL) == sum(range(key, count, 3))


async def test_an_opening_that_fails_harms_no_other(ledger: Ledger) -> None:
    """Of several openings at once the one whose id is taken fails, and it alone."""
    taken = opening()
    assert await ledger.begin(taken) == Opened()
    asked = [opening(), taken, opening(session_id="s"), opening()]
    outcomes = await asyncio.gather(*map(ledger.begin, asked), return_exceptions=True)
    assert isinstance(outcomes[1], StoreError)
    assert [outcome for place, outcome in enumerate(outcomes) if place != 1] == [Opened()] * 3
    assert len((await ledger.rows(Scope(), limit=99)).items) == 4


async def test_a_settlement_that_comes_too_late_harms_no_other(installation: Installation) -> None:
    """Of several settlements at once the second of one row, and that of a row taken over, count for nothing."""
    first, second = await installation.open(), await installation.open()
    opened = [await begun(first) for _ in range(4)]
    assert await second.inherit(opened[1])
    twice = [*opened, opened[3]]
    settled = await asyncio.gather(*(first.settle(settlement(id_, cost=5), patient=True) for id_ in twice))
    assert settled[:3] == [True, False, True]
    assert sorted(settled[3:]) == [False, True]
    assert await first.spent("k1", TOTAL) == 15
    assert (await row(first, opened[1])).status == "interrupted"


async def test_each_kind_of_settlement_is_whole_among_others(ledger: Ledger) -> None:
    """A bill, a freed idempotency key, a reservation and plain figures can be settled at once, each with all it has."""
    billed, freed = await begun(ledger), await begun(ledger, idempotency_key="i", body_hash="h")
    reserved = await begun(ledger, reserved=100, budget=TOTAL)
    plain = await begun(ledger)
    ends = (
        settlement(billed, bill=Bill(customer="c", meter="m", value=30)),
        settlement(freed, status="failed", frees_idempotency_key=True),
        settlement(reserved, cost=40),
        settlement(plain, cost=2),
    )
    assert await asyncio.gather(*(ledger.settle(end, patient=True) for end in ends)) == [True] * 4
    assert [parcel.generation_id for parcel in await ledger.due_parcels(limit=9)] == [billed]
    assert await ledger.find_joined(Scope(key_id="k1"), "i", "h") is None
    assert await ledger.spent("k1", TOTAL) == 42


async def test_spending_is_that_of_the_day_of_the_opening(ledger: Ledger) -> None:
    """Settled at once, rows that were opened on different days count each for its own."""
    today = opening(model="today")
    long_ago = opening(model="long ago", created_at=today.created_at - 40 * DAY_S)
    await asyncio.gather(ledger.begin(today), ledger.begin(long_ago))
    await asyncio.gather(*(ledger.settle(settlement(one.id, cost=7), patient=True) for one in (today, long_ago)))
    assert await ledger.spent("k1", Budget(amount=1, period="day")) == 7
    assert await ledger.spent("k1", Budget(amount=1, period="month")) == 7
    assert await ledger.spent("k1", TOTAL) == 14
