"""What every ledger promises of bills: each is sent once, one at a time for a customer and meter."""

from __future__ import annotations

import asyncio
import time
from typing import cast

from tests.ledger.installation import Installation
from tests.ledger.specimens import begun, settlement

from tailrace.ledger import Bill, Ledger, Parcel
from tailrace.ledger.sql import SqlLedger


async def bill(ledger: Ledger, customer: str = "cus_1", meter: str = "m", **given: float) -> str:
    """Settle a generation with a bill and return its id."""
    opened = await begun(ledger)
    await ledger.settle(settlement(opened, bill=Bill(customer=customer, meter=meter, value=3), **given))
    return opened


def ids(parcels: list[Parcel]) -> list[str]:
    """Which bills these are."""
    return [parcel.generation_id for parcel in parcels]


async def due(ledger: Ledger, limit: int = 10) -> list[str]:
    """Lease what is due."""
    return ids(list(await ledger.due_parcels(limit=limit)))


async def test_bills_are_leased_oldest_first(ledger: Ledger) -> None:
    """What is due comes oldest first, up to the limit, with what is to be told."""
    now = time.time()
    bills = [await bill(ledger, f"cus_{place}", settled_at=now - 10 + place) for place in range(3)]
    (first, second) = await ledger.due_parcels(limit=2)
    assert [first.generation_id, second.generation_id] == bills[:2]
    assert first.bill == Bill(customer="cus_0", meter="m", value=3)
    assert (first.attempts, first.doubted_since, first.created_at) == (0, None, now - 10)


async def test_a_customer_and_meter_have_one_bill_under_way(ledger: Ledger) -> None:
    """The next bill of a customer and meter comes when the first was answered; other meters do not wait."""
    now = time.time()
    first = await bill(ledger, settled_at=now - 3)
    second = await bill(ledger, settled_at=now - 2)
    other = await bill(ledger, meter="other", settled_at=now - 1)
    assert await due(ledger) == [first, other]
    assert await due(ledger) == []
    await ledger.parcel_sent(first)
    assert await due(ledger) == [second]


async def test_no_bill_is_leased_twice(installation: Installation) -> None:
    """Processes that ask at the same time never get the same bill, nor two of one customer and meter."""
    ledgers = [await installation.open() for _ in range(3)]
    for place in range(12):
        await bill(ledgers[0], f"cus_{place % 4}")
    leased = await asyncio.gather(*(ledger.due_parcels(limit=10) for ledger in ledgers for _ in range(3)))
    found = [parcel for parcels in leased for parcel in parcels]
    assert len({parcel.generation_id for parcel in found}) == len(found)
    assert sorted(parcel.bill.customer for parcel in found) == ["cus_0", "cus_1", "cus_2", "cus_3"]


async def test_a_failed_bill_comes_again_in_its_time(ledger: Ledger) -> None:
    """It waits until it may be tried again, counts its attempts, and remembers since when it is in doubt."""
    failed = await bill(ledger)
    assert await due(ledger) == [failed]
    await ledger.parcel_failed(failed, retry_at=time.time() + 100, error="503", doubtful=False)
    assert await due(ledger) == []
    later = await bill(ledger)
    assert await due(ledger) == [later]
    await ledger.parcel_failed(later, retry_at=0, error="lost \0", doubtful=True)
    (again,) = await ledger.due_parcels(limit=5)
    assert (again.generation_id, again.attempts) == (later, 1)
    assert again.doubted_since is not None
    await ledger.parcel_failed(later, retry_at=0, error="lost", doubtful=True)
    (third,) = await ledger.due_parcels(limit=5)
    assert (third.attempts, third.doubted_since) == (2, again.doubted_since)


async def test_a_sent_or_given_up_bill_never_comes_again(ledger: Ledger) -> None:
    """What was sent and what was given up stays out of the way of the others."""
    first, second, third = [await bill(ledger, settled_at=time.time() - 9 + place) for place in range(3)]
    assert await due(ledger) == [first]
    await ledger.parcel_given_up(first, error="400")
    assert await due(ledger) == [second]
    await ledger.parcel_sent(second)
    await ledger.parcel_failed(second, retry_at=0, error="late", doubtful=False)
    assert await due(ledger) == [third]


async def test_another_s_lease_is_not_ended(installation: Installation) -> None:
    """A process that reports a failure of a bill it does not hold changes nothing."""
    first, second = await installation.open(), await installation.open()
    held = await bill(first)
    assert await due(first) == [held]
    await second.parcel_failed(held, retry_at=0, error="not mine", doubtful=False)
    assert await due(second) == []


async def test_a_lease_without_a_word_is_doubt(ledger: Ledger) -> None:
    """A bill whose holder said nothing until its lease ran out may have been sent: it is in doubt since the lease."""
    silent = await bill(ledger)
    began = time.time()
    assert await due(ledger) == [silent]
    cast("SqlLedger", ledger)._clock = lambda: began + 90
    (again,) = await ledger.due_parcels(limit=5)
    assert again.doubted_since is not None
    assert 0 <= again.doubted_since - began < 5
