"""What every ledger promises when a process is killed: another settles its rows, once, as they were last seen."""

from __future__ import annotations

import asyncio
import time

from tests.ledger.installation import Installation
from tests.ledger.process import LedgerProcess, opened_process
from tests.ledger.specimens import SCOPE, opening, row, settlement, turn

from tailrace.ledger import Bill, Budget, Count, Ledger, Opened, Price, Scope

PRICE = Price(input=3, cached_input=1, output=7)
DEADLINE_S = 20.0


async def swept(ledger: Ledger, *wanted: str) -> list[str]:
    """Sweep until these are swept; all that was, in order. On PostgreSQL a death must be seen twice."""
    found: list[str] = []
    deadline = time.monotonic() + DEADLINE_S
    while not set(wanted) <= set(found):
        assert time.monotonic() < deadline, f"not swept: {set(wanted) - set(found)}"
        found += await ledger.sweep()
        await asyncio.sleep(0.05)
    return found


async def noted(ledger: Ledger, process: LedgerProcess, counts: dict[str, Count]) -> None:
    """Have the process note these counts, and wait until they are in the database."""
    await process.checkpoint(counts)
    deadline = time.monotonic() + DEADLINE_S
    for id_, count in counts.items():
        while (await row(ledger, id_)).output_tokens != count.output_tokens:
            assert time.monotonic() < deadline


async def test_rows_of_a_killed_process_are_swept_by_one_that_runs(installation: Installation) -> None:
    """A process that runs settles the rows of one that was killed, with the figures of the last checkpoint."""
    ledger = await installation.open()
    budget = Budget(amount=1000, period="total")
    with_count = opening(
        price=PRICE, reserved=100, budget=budget, customer="cus_1", meter="m", idempotency_key="a", body_hash="h"
    )
    without = opening(price=PRICE, session_id="s", turns=(turn("x"),), idempotency_key="b", body_hash="h")
    async with opened_process(installation.settings) as process:
        assert await process.begin([with_count, without]) == ["opened", "opened"]
        await noted(ledger, process, {with_count.id: Count(output_tokens=5, delivered_tokens=4, input_tokens=6)})
        assert await ledger.sweep() == []
        await process.kill()
    assert sorted(await swept(ledger, with_count.id, without.id)) == sorted([with_count.id, without.id])
    found = await row(ledger, with_count.id)
    assert (found.status, found.reason, found.source) == ("interrupted", "interrupted", "estimated")
    assert (found.input_tokens, found.output_tokens, found.delivered_tokens) == (6, 5, 4)
    assert found.cost == 6 * 3 + 5 * 7
    assert found.duration_ms is not None
    assert 0 < found.duration_ms < 60_000
    assert [parcel.bill for parcel in await ledger.due_parcels(limit=5)] == [
        Bill(customer="cus_1", meter="m", value=11)
    ]
    bare = await row(ledger, without.id)
    assert (bare.input_tokens, bare.output_tokens, bare.source, bare.cost) == (11, 0, "estimated", 33)
    assert await ledger.spent("k1", budget) == found.cost + 33
    # The one with content keeps its idempotency key, the other gives it back; the session is free.
    assert await ledger.find_joined(SCOPE, "a", "h") is not None
    assert await ledger.find_joined(SCOPE, "b", "h") is None
    assert await ledger.begin(opening(session_id="s")) == Opened()


async def test_rows_of_a_killed_process_are_swept_at_the_next_start(installation: Installation) -> None:
    """A process that starts settles what a killed one left behind, once."""
    left = [opening() for _ in range(3)]
    async with opened_process(installation.settings) as process:
        assert await process.begin(left) == ["opened"] * 3
        await process.kill()
    ledger = await installation.open()
    deadline = time.monotonic() + DEADLINE_S
    while {found.status for found in (await ledger.rows(Scope(), limit=9)).items} != {"interrupted"}:
        assert time.monotonic() < deadline
        await ledger.sweep()
        await asyncio.sleep(0.05)
    assert await ledger.sweep() == []


async def test_processes_that_sweep_at_once_settle_each_row_once(installation: Installation) -> None:
    """Three processes that sweep at the same time settle each row of a killed one exactly once between them."""
    ledgers = [await installation.open() for _ in range(3)]
    budget = Budget(amount=10**6, period="total")
    left = [opening(price=PRICE, reserved=50, budget=budget) for _ in range(30)]
    async with opened_process(installation.settings) as process:
        await process.begin(left)
        await process.kill()
    found: list[str] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(found) < len(left):
        assert time.monotonic() < deadline
        for ids in await asyncio.gather(*(ledger.sweep() for ledger in ledgers)):
            found += ids
        await asyncio.sleep(0.05)
    assert sorted(found) == sorted(one.id for one in left)
    assert await ledgers[0].spent("k1", budget) == 30 * 33


async def test_the_living_are_never_swept(installation: Installation) -> None:
    """Sweeps leave the rows of every process that lives alone, however many sweep."""
    ledgers = [await installation.open() for _ in range(2)]
    async with opened_process(installation.settings) as process:
        left = opening()
        await process.begin([left])
        mine = opening()
        await ledgers[0].begin(mine)
        for _ in range(5):
            assert await asyncio.gather(*(ledger.sweep() for ledger in ledgers)) == [[], []]
        assert await process.sweep() == []
        assert await ledgers[0].lost() == []
        assert await ledgers[0].settle(settlement(mine.id))
        assert (await row(ledgers[0], left.id)).status == "running"


async def test_a_closed_ledger_s_rows_are_swept(installation: Installation) -> None:
    """A process that ends in order with rows still open leaves them to the next, like one that was killed."""
    first, second = await installation.open(), await installation.open()
    left = opening(scope=Scope(key_id="k9"))
    await first.begin(left)
    await installation.close_ledger(first)
    assert await swept(second, left.id) == [left.id]
