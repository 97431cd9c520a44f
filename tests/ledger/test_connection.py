"""How works share transactions on SQLite: one for what comes in one turn of the event loop, and no wait for long."""

from __future__ import annotations

import asyncio

from tests.ledger.crashing import Crashing, CrashingProcess
from tests.ledger.specimens import begun, opening, settlement

from tailrace.ledger import Opened


def watch(process: CrashingProcess) -> list[str]:
    """Statements as the writing connection executes them, from now on."""
    seen: list[str] = []
    connection = process.database._writer.connection
    assert connection is not None
    connection.set_trace_callback(seen.append)
    return seen


async def test_what_comes_in_one_turn_shares_a_transaction(crashing: Crashing) -> None:
    """Fifty openings of one turn of the event loop are one statement in one transaction."""
    process = await crashing.start()
    seen = watch(process)
    asked = [opening() for _ in range(50)]
    assert await asyncio.gather(*map(process.ledger.begin, asked)) == [Opened()] * 50
    begin, insert, commit = seen
    assert (begin, commit) == ("BEGIN IMMEDIATE", "COMMIT")
    assert "INSERT" in insert


async def test_a_patient_settlement_goes_with_the_next_opening(crashing: Crashing) -> None:
    """Settlements that nobody waits for are written in the transaction of the opening that comes next."""
    process = await crashing.start()
    ledger = process.ledger
    opened = [await begun(ledger) for _ in range(5)]
    seen = watch(process)
    settling = [asyncio.ensure_future(ledger.settle(settlement(id_), patient=True)) for id_ in opened]
    assert await ledger.begin(opening()) == Opened()
    assert await asyncio.gather(*settling) == [True] * 5
    assert seen.count("COMMIT") == 1


async def test_a_patient_settlement_waits_for_nobody_for_long(crashing: Crashing) -> None:
    """Where no opening comes, a patient settlement is written all the same, though nothing else wakes the thread."""
    process = await crashing.start()
    opened = await begun(process.ledger)
    async with asyncio.timeout(5):
        assert await process.ledger.settle(settlement(opened), patient=True)


async def test_a_patient_settlement_that_waits_is_written_at_the_end(crashing: Crashing) -> None:
    """A ledger that is closed writes first what patiently waits, though its caller was cancelled."""
    process = await crashing.start()
    opened = await begun(process.ledger)
    settling = asyncio.create_task(process.ledger.settle(settlement(opened), patient=True))
    await asyncio.sleep(0)
    settling.cancel()
    await crashing.stop(process)
    again = await crashing.start()
    found = await again.ledger.row(opened)
    assert found is not None
    assert found.status == "finished"
