"""What may befall a SQLite file: it is busy, full, read-only, deleted, replaced. Each settlement is kept, once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.ledger.crashing import Crashing, CrashingProcess
from tests.ledger.specimens import begun, opening, row, settlement

from tailrace.errors import StoreError
from tailrace.ledger import Budget, Ledger, Scope
from tailrace.ledger.database import Query, Work

DEADLINE_S = 15.0
TOTAL = Budget(amount=1, period="total")

Fault = Callable[[CrashingProcess, Path], contextlib.AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def busy(_: CrashingProcess, path: Path) -> AsyncIterator[None]:
    """Another process's transaction has no end."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextlib.asynccontextmanager
async def full(process: CrashingProcess, _: Path) -> AsyncIterator[None]:
    """No page can be added, and those that are there have no room."""
    ((pages,),) = process.execute("PRAGMA page_count")
    process.execute(f"PRAGMA max_page_count = {pages}")
    with contextlib.suppress(StoreError):
        while True:
            await process.ledger.begin(opening(model="x" * 3000))
    yield
    process.execute("PRAGMA max_page_count = 100000")


@contextlib.asynccontextmanager
async def read_only(process: CrashingProcess, _: Path) -> AsyncIterator[None]:
    """Nothing can be written."""
    process.execute("PRAGMA query_only = ON")
    yield
    process.execute("PRAGMA query_only = OFF")


async def settled(ledger: Ledger, generation_id: str) -> None:
    """Wait until a row is settled, which the ledger does by itself."""
    deadline = time.monotonic() + DEADLINE_S
    while (await row(ledger, generation_id)).status == "running":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", [busy, full, read_only])
async def test_settlements_wait_while_nothing_can_be_written(crashing: Crashing, fault: Fault) -> None:
    """Openings are refused with StoreError, reads go on, settlements wait, and are written once when it is over."""
    process = await crashing.start()
    ledger = process.ledger
    opened = [await begun(ledger) for _ in range(40)]
    async with fault(process, crashing.path):
        large = opening(model="x" * 5000)
        with pytest.raises(StoreError):
            await ledger.begin(large)
        assert await ledger.find_joined(Scope(), "x", "h") is None
        long = {"reason": "y" * 200, "cost": 3}
        assert await asyncio.gather(*(ledger.settle(settlement(id_, **long)) for id_ in opened)) == [True] * 40
        waiting = {spooled.settlement.id for spooled in process.spool.waiting}
        assert waiting
        assert not await ledger.settle(settlement(min(waiting), output_tokens=99))
        assert (await row(ledger, min(waiting))).status == "running"
    for id_ in opened:
        await settled(ledger, id_)
    assert await ledger.spent("k1", TOTAL) == 40 * 3
    assert {found.output_tokens for found in (await ledger.rows(Scope(), limit=999)).items if found.id in opened} == {
        20
    }
    await ledger.begin(large)


async def test_what_waited_outlives_a_crash(crashing: Crashing) -> None:
    """Settlements that were spooled before a crash are written by the next process, with their true figures."""
    process = await crashing.start()
    opened = [await begun(process.ledger) for _ in range(5)]
    process.execute("PRAGMA query_only = ON")
    for id_ in opened:
        assert await process.ledger.settle(settlement(id_, output_tokens=7, cost=2))
    await crashing.crash(process)
    after = await crashing.start()
    for id_ in opened:
        found = await row(after.ledger, id_)
        assert (found.status, found.output_tokens) == ("finished", 7)
    assert await after.ledger.spent("k1", TOTAL) == 10
    assert list((crashing.folder / "spool").iterdir()) == []


async def test_what_waited_is_adopted_by_a_process_that_runs(crashing: Crashing) -> None:
    """A process that runs beside finds what a crashed one had spooled, before it sweeps its rows."""
    first, second = await crashing.start(), await crashing.start()
    opened = await begun(first.ledger)
    first.execute("PRAGMA query_only = ON")
    await first.ledger.settle(settlement(opened, output_tokens=7))
    assert await second.ledger.sweep() == []
    await crashing.crash(first)
    assert await second.ledger.sweep() == []
    assert (await row(second.ledger, opened)).output_tokens == 7


async def test_a_spool_that_can_t_be_written_waits_in_memory(crashing: Crashing) -> None:
    """Where the disk takes not even the spool, settlements wait in memory and are written when it is over."""
    process = await crashing.start()
    opened = await begun(process.ledger)
    (crashing.folder / "spool").write_text("in the way")
    process.execute("PRAGMA query_only = ON")
    assert await process.ledger.settle(settlement(opened))
    process.execute("PRAGMA query_only = OFF")
    await settled(process.ledger, opened)


async def test_a_torn_line_spoils_no_other(crashing: Crashing) -> None:
    """A spool that a crash cut off in the middle of a line gives back all its whole lines."""
    process = await crashing.start()
    opened = [await begun(process.ledger) for _ in range(2)]
    process.execute("PRAGMA query_only = ON")
    for id_ in opened:
        await process.ledger.settle(settlement(id_))
    await crashing.crash(process)
    (left,) = (crashing.folder / "spool").iterdir()
    left.write_bytes(left.read_bytes()[:-10])
    after = await crashing.start()
    assert [(await row(after.ledger, id_)).status for id_ in opened] == ["finished", "interrupted"]


@pytest.mark.parametrize("endings", [("",), ("", "-wal", "-shm")])
async def test_a_deleted_file_is_written_again(crashing: Crashing, endings: tuple[str, ...]) -> None:
    """A file that is deleted while it is open comes back with all that was in it, and the ledger goes on."""
    process = await crashing.start(alone=True)
    before = await begun(process.ledger)
    await process.ledger.totals(Scope(), by="key", since=0)
    for ending in endings:
        crashing.path.with_name(f"tailrace.db{ending}").unlink()
    after = await begun(process.ledger)
    assert await process.ledger.settle(settlement(before, cost=4))
    assert (await row(process.ledger, before)).status == "finished"
    assert crashing.path.stat().st_mode & 0o777 == 0o600
    await crashing.crash(process)
    again = await crashing.start(alone=True)
    assert (await row(again.ledger, before)).status == "finished"
    assert (await row(again.ledger, after)).status == "interrupted"
    assert await again.ledger.spent("k1", TOTAL) == 4
    assert again.execute("PRAGMA integrity_check") == [("ok",)]


async def test_a_deleted_folder_is_made_again(crashing: Crashing, tmp_path: Path) -> None:
    """A data folder that is moved away under a running process comes back with the next opening."""
    process = await crashing.start(alone=True)
    before = await begun(process.ledger)
    crashing.folder.rename(tmp_path / "away")
    await begun(process.ledger)
    assert await process.ledger.settle(settlement(before))
    assert crashing.folder.stat().st_mode & 0o777 == 0o700
    assert (await row(process.ledger, before)).status == "finished"


async def test_a_replaced_file_is_an_error(crashing: Crashing) -> None:
    """Another file in the place of the one that is open is never written to: openings say so, settlements wait."""
    process = await crashing.start(alone=True)
    opened = await begun(process.ledger)
    crashing.path.rename(crashing.path.with_name("old.db"))
    crashing.path.write_bytes(b"")
    with pytest.raises(StoreError, match="replaced"):
        await process.ledger.begin(opening())
    assert await process.ledger.settle(settlement(opened))
    crashing.path.with_name("old.db").rename(crashing.path)
    await settled(process.ledger, opened)


def count_at_length() -> Work[int]:
    """Take a second or more."""
    found = yield Query("SELECT count(*) FROM generations a, generations b, generations c, generations d"), {}
    return int(found[0][0])


async def test_one_report_holds_up_no_opening(crashing: Crashing) -> None:
    """Openings, settlements and look-ups are answered while a report of any length is being read."""
    process = await crashing.start()
    for _ in range(70):
        await begun(process.ledger)

    report = process.database.report(count_at_length)
    started = time.monotonic()
    opened = await begun(process.ledger)
    assert await process.ledger.settle(settlement(opened))
    assert await process.ledger.history(Scope(), "s") == []
    assert not report.done(), f"the report took less than {time.monotonic() - started:.3f} s"
    await report
