"""Whatever happens to an answer and to its process, in whatever order, its row is settled exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.gateway import execute
from tests.generation.generating import Viewer
from tests.ledger.crashing import Crashing, CrashingProcess
from tests.tap import Run, Tap

from tailrace.errors import RequestError, StreamError, UpstreamError
from tailrace.generation import Admission, Admitted, Attempt, Generation, Generations, Order
from tailrace.ledger import Budget, Joined, Key, Opened, Opening, Price, Scope, Settlement
from tailrace.ledger.sql import SqlLedger
from tailrace.limits import MemoryLimits
from tailrace.metrics import Metrics
from tailrace.prices import Tariff
from tailrace.requests import ChatRequest, user_message
from tailrace.settings import Secret, Settings, StreamSettings

BUDGET: Final = Budget(amount=10**9, period="total")
KEY: Final = Key(id="k1", name="k", created_at=0.0, budget=BUDGET, stripe_customer="cus_1", max_streams=50)
TARIFF: Final = Tariff(usual=Price(input=1, cached_input=1, output=100))


class Line:
    """The way to a ledger. Once it is `cut`, whoever is on it hears nothing more: its process is dead."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.cut = False
        self.settled: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def begin(self, opening: Opening) -> Opened | Joined:
        await self._pass()
        return await self._ledger.begin(opening)

    async def settle(self, settlement: Settlement, *, patient: bool = False) -> bool:
        await self._pass()
        done = await self._ledger.settle(settlement, patient=patient)
        if done:
            self.settled.append(settlement.id)
        return done

    async def _pass(self) -> None:
        if self.cut:
            await asyncio.Event().wait()


class House:
    """One process: it admits, generates and settles, until it is closed or crashes."""

    def __init__(self, process: CrashingProcess) -> None:
        self.process = process
        self.line = Line(process.ledger)
        self.tap = Tap()
        self.generations = Generations(StreamSettings(retries=0), metrics=Metrics())
        ledger: Any = self.line
        billing = Settings(stripe_api_key=Secret("sk_test_none"))
        self.admission = Admission(billing, ledger=ledger, limits=MemoryLimits(), generations=self.generations)

    async def crash(self) -> None:
        """Run no step more. The ledger's files are closed and its lock is free."""
        self.line.cut = True
        for generation in self.generations.running():
            generation.task.cancel()
        tasks = [generation.task for generation in self.generations.running()]
        if tasks:
            # What they would still write at their end waits on a line that is cut, and is cut off with them
            await asyncio.wait(tasks, timeout=0.01)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await self.process.crash()

    async def close(self) -> None:
        """Stop what runs; the ledger is closed with its installation."""
        await self.generations.close()


class Answers(RuleBasedStateMachine):
    """Processes that start, crash and start again; answers that begin, say something, end, are left and cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tailrace-settlements-"))
        self.runner = asyncio.Runner()
        self.installation = Crashing(self.folder)
        self.houses: list[House] = []
        self.answers: list[tuple[Generation, Run]] = []
        self.asked: set[str] = set()
        self.settled: list[str] = []
        self.start()

    def run(self, work: Any) -> Any:
        """Run a coroutine."""
        return self.runner.run(work)

    def answer(self, number: int) -> tuple[Generation, Run]:
        """One of those that were begun, by now perhaps over."""
        return self.answers[number % len(self.answers)]

    @rule()
    @precondition(lambda self: len(self.houses) < 2)
    def start(self) -> None:
        """A process starts, and sweeps what the dead have left."""
        self.houses.append(House(self.run(self.installation.start())))

    @rule(
        number=st.integers(0, 9),
        session=st.sampled_from([None, "s"]),
        key=st.sampled_from([None, "i1", "i2"]),
        policy=st.sampled_from(["cancel", "continue"]),
    )
    @precondition(lambda self: self.houses)
    def begin(self, number: int, session: str | None, key: str | None, policy: Any) -> None:
        """A request comes in; it may be refused, or join another."""
        house = self.houses[number % len(self.houses)]
        self.run(self._begin(house, session, key, policy))

    async def _begin(self, house: House, session: str | None, key: str | None, policy: Any) -> None:
        request = ChatRequest(model="m", messages=(user_message("Hi"),), max_tokens=10)
        order = Order(
            scope=Scope(key_id=KEY.id),
            key=KEY,
            attempts=(Attempt(provider=house.tap, request=request, name="m", tariff=TARIFF),),
            session_id=session,
            idempotency_key=key,
            body_hash=None if key is None else "h",
            on_disconnect=policy,
        )
        runs = len(house.tap.runs)
        with contextlib.suppress(RequestError):
            admitted = await house.admission.admit(order)
            if isinstance(admitted, Admitted):
                admitted.generation.log.attach(Viewer())
                self.asked.add(admitted.generation.id)
                self.answers.append((admitted.generation, await house.tap.asked(runs + 1)))

    @rule(number=st.integers(0, 99), pieces=st.integers(1, 3))
    @precondition(lambda self: self.answers)
    def say(self, number: int, pieces: int) -> None:
        """The upstream says something."""

        async def say() -> None:
            self.answer(number)[1].say(*["x"] * pieces)

        self.run(say())

    @rule(number=st.integers(0, 99), fails=st.booleans(), waits=st.booleans())
    @precondition(lambda self: self.answers)
    def end(self, number: int, fails: bool, waits: bool) -> None:
        """The upstream finishes, or fails."""

        async def end() -> None:
            generation, run = self.answer(number)
            if fails:
                run.fail(UpstreamError("upstream_cut", "cut"))
            else:
                run.finish()
            if waits:
                await generation.ended()

        self.run(end())

    @rule(number=st.integers(0, 99), steps=st.integers(0, 3))
    @precondition(lambda self: self.answers)
    def leave(self, number: int, steps: int) -> None:
        """The last reader leaves, and the event loop makes some steps."""

        async def leave() -> None:
            log = self.answer(number)[0].log
            for viewer in log._viewers:
                log.detach(viewer)
            for _ in range(steps):
                await asyncio.sleep(0)

        self.run(leave())

    @rule(number=st.integers(0, 99), steps=st.integers(0, 3))
    @precondition(lambda self: self.answers)
    def cancel(self, number: int, steps: int) -> None:
        """Somebody cancels."""

        async def cancel() -> None:
            self.answer(number)[0].stop(StreamError("cancelled", "cancelled"))
            for _ in range(steps):
                await asyncio.sleep(0)

        self.run(cancel())

    @rule(number=st.integers(0, 9))
    @precondition(lambda self: self.houses)
    def note(self, number: int) -> None:
        """A process notes what its answers have come to, and looks for what it has lost."""

        async def note() -> None:
            house = self.houses[number % len(self.houses)]
            counts = {generation.id: generation.count() for generation in house.generations.running()}
            house.process.ledger.checkpoint(counts)
            assert await house.process.ledger.lost() == []

        self.run(note())

    @rule(number=st.integers(0, 9))
    @precondition(lambda self: self.houses)
    def sweep(self, number: int) -> None:
        """A process sweeps; rows of the living are left alone."""
        swept = self.run(self.houses[number % len(self.houses)].process.ledger.sweep())
        running = {generation.id for house in self.houses for generation in house.generations.running()}
        assert not running & set(swept)

    @rule(number=st.integers(0, 9))
    @precondition(lambda self: self.houses)
    def crash(self, number: int) -> None:
        """A process dies in the midst of whatever it does."""
        house = self.houses.pop(number % len(self.houses))
        dead = {generation.id for generation in house.generations.running()}
        self.run(self._crash(house))
        self.settled += house.line.settled
        self.answers = [answer for answer in self.answers if answer[0].id not in dead]

    async def _crash(self, house: House) -> None:
        self.installation._living.remove(house.process)
        await house.crash()

    def teardown(self) -> None:
        """At the end one process more looks after what is left; then each row is settled, once."""
        self.run(self._end())
        try:
            check(self.installation.path, self.asked, self.settled)
        finally:
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _end(self) -> None:
        last = await self.installation.start()
        for house in self.houses:
            await house.close()
            self.settled += house.line.settled
        await last.ledger.sweep()
        await self.installation.close()


def check(path: Path, asked: set[str], settled: list[str]) -> None:
    """Each answer has one settled row, whose cost is in the sums once and whose bill is in the outbox once."""
    assert len(settled) == len(set(settled))
    rows = execute(path, "SELECT id, status, cost, input_tokens + output_tokens FROM generations")
    assert asked <= {row[0] for row in rows}
    assert {row[1] for row in rows} <= {"finished", "aborted", "failed", "interrupted"}
    sums = execute(path, "SELECT period, settled, reserved FROM spend")
    assert all(reserved == 0 for _, _, reserved in sums)
    assert sum(total for period, total, _ in sums if period == "total") == sum(row[2] for row in rows)
    bills = execute(path, "SELECT generation_id, value FROM outbox")
    assert sorted(bills) == sorted((row[0], row[3]) for row in rows if row[3])


def test_every_answer_is_settled_exactly_once() -> None:
    """Over start, token, finish, failure, disconnect, cancel, crash and restart: never two settlements, nor none."""
    run_state_machine_as_test(Answers, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
