"""Whatever happens in whatever order, every generation is settled exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.ledger.crashing import Crashing, CrashingProcess
from tests.ledger.specimens import opening, settlement, turn

from tailrace.errors import RequestError, StoreError
from tailrace.ledger import Bill, Budget, Count, Opened, Price, Scope

BUDGET = Budget(amount=10_000, period="total")
PRICE = Price(input=1, cached_input=1, output=100)


class Generations(RuleBasedStateMachine):
    """Processes that begin, note, settle, crash, start, sweep, and lose their disk and get it back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tailrace-ledger-"))
        self.runner = asyncio.Runner()
        self.installation = Crashing(self.folder)
        self.processes: list[CrashingProcess] = []
        self.owners: dict[str, CrashingProcess] = {}
        self.asked: set[str] = set()
        self.costs: dict[str, int] = {}

    def run(self, work: Any) -> Any:
        """Run a coroutine."""
        return self.runner.run(work)

    def process(self, number: int) -> CrashingProcess:
        """One of the living."""
        return self.processes[number % len(self.processes)]

    @rule()
    @precondition(lambda self: len(self.processes) < 3)
    def start(self) -> None:
        """A process starts: it adopts and sweeps what the dead have left."""
        self.processes.append(self.run(self.installation.start()))

    @rule(
        number=st.integers(0, 9),
        session=st.sampled_from([None, None, "s1", "s2"]),
        key=st.sampled_from([None, None, "i1", "i2"]),
        cancelled=st.sampled_from([False, False, True]),
    )
    @precondition(lambda self: self.processes)
    def begin(self, number: int, session: str | None, key: str | None, cancelled: bool) -> None:
        """A generation begins, or is refused, or joins; its caller may have gone meanwhile."""
        process = self.process(number)
        asked = opening(
            session_id=session,
            turns=(turn("x"),) if session else (),
            idempotency_key=key,
            body_hash="h",
            reserved=100,
            budget=BUDGET,
            price=PRICE,
            customer="cus_1",
            meter="m",
        )
        with contextlib.suppress(RequestError, StoreError):
            if cancelled:
                self.run(self.cancel(process, asked))
            elif self.run(process.ledger.begin(asked)) == Opened():
                self.owners[asked.id] = process
                self.asked.add(asked.id)

    async def cancel(self, process: CrashingProcess, asked: Any) -> None:
        """Begin, and leave before the answer."""
        task = asyncio.create_task(process.ledger.begin(asked))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @rule(tokens=st.integers(0, 9))
    @precondition(lambda self: self.processes)
    def note(self, tokens: int) -> None:
        """A second has passed."""
        for process in self.processes:
            mine = [id_ for id_, owner in self.owners.items() if owner is process]
            count = Count(output_tokens=tokens, delivered_tokens=tokens)
            self.run(self.checkpoint(process, dict.fromkeys(mine, count)))

    async def checkpoint(self, process: CrashingProcess, counts: dict[str, Count]) -> None:
        """Note these, from within the loop."""
        process.ledger.checkpoint(counts)

    @rule(place=st.integers(0, 99), cost=st.integers(0, 50), twice=st.booleans(), works=st.booleans())
    @precondition(lambda self: self.owners)
    def settle(self, place: int, cost: int, twice: bool, works: bool) -> None:
        """A generation ends; perhaps it is settled from two sides at once, perhaps nothing can be written."""
        id_ = sorted(self.owners)[place % len(self.owners)]
        process = self.owners.pop(id_)
        process.execute(f"PRAGMA query_only = {'OFF' if works else 'ON'}")
        bill = Bill(customer="cus_1", meter="m", value=cost) if cost else None
        final = settlement(id_, cost=cost, bill=bill, answer=turn("a", role="assistant"))
        done = self.run(self.settle_at_once(process, [final] * (1 + twice)))
        assert done.count(True) >= 1
        self.costs[id_] = cost

    async def settle_at_once(self, process: CrashingProcess, finals: list[Any]) -> list[bool]:
        """Settle all these at the same time."""
        return await asyncio.gather(*(process.ledger.settle(final) for final in finals))

    @rule(number=st.integers(0, 9))
    @precondition(lambda self: self.processes)
    def crash(self, number: int) -> None:
        """A process dies."""
        process = self.process(number)
        self.processes.remove(process)
        self.owners = {id_: owner for id_, owner in self.owners.items() if owner is not process}
        self.run(self.installation.crash(process))

    @rule(number=st.integers(0, 9))
    @precondition(lambda self: self.processes)
    def sweep(self, number: int) -> None:
        """Two seconds have passed."""
        with contextlib.suppress(StoreError):
            self.run(self.process(number).ledger.sweep())

    @rule()
    def repair(self) -> None:
        """Every process can write again."""
        for process in self.processes:
            process.execute("PRAGMA query_only = OFF")

    def teardown(self) -> None:
        """Let it all end, and look at what there is."""
        try:
            self.run(self.end())
        finally:
            self.runner.close()
            shutil.rmtree(self.folder)

    async def end(self) -> None:
        """All die, one starts: every row is settled once, and so is its price and its bill."""
        for process in self.processes:
            await self.installation.crash(process)
        last = await self.installation.start()
        await last.ledger.sweep()
        rows = {row.id: row for row in (await last.ledger.rows(Scope(), limit=1000)).items}
        assert set(rows) >= self.asked
        assert "running" not in {row.status for row in rows.values()}
        for id_, cost in self.costs.items():
            assert (rows[id_].status, rows[id_].cost) == ("finished", cost)
        spent = await last.ledger.spent("k1", BUDGET)
        assert spent == sum(row.cost for row in rows.values())
        assert await self.billed(last) == {id_ for id_, row in rows.items() if row.cost}
        await self.installation.close()

    async def billed(self, process: CrashingProcess) -> set[str]:
        """Send all bills."""
        sent: set[str] = set()
        while parcels := await process.ledger.due_parcels(limit=100):
            for parcel in parcels:
                assert parcel.generation_id not in sent
                sent.add(parcel.generation_id)
                await process.ledger.parcel_sent(parcel.generation_id)
        return sent


def test_every_generation_is_settled_exactly_once() -> None:
    """Over begin, settle, cancel, crash, start, sweep and a failing disk there are never two settlements, or none."""
    run_state_machine_as_test(Generations, settings=settings(max_examples=100, stateful_step_count=25))
