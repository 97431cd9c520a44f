"""Beside the generations: checkpoints, sweeps, rows that were lost, budgets that several streams draw on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.gateway import STREAM, Gateway, execute, gateway
from tests.ledger.specimens import opening
from tests.ledger_fake import FakeLedger
from tests.reader import Reader
from tests.server import running_server
from tests.tap import Tap
from tests.waiting import eventually, until

from tailrace.errors import StoreError
from tailrace.generation import Attempt, Bookkeeper, Generation, Generations
from tailrace.generation.accounts import Account
from tailrace.generation.bookkeeping import CHECKPOINT_S, SWEEP_S
from tailrace.ledger import Count, Settlement
from tailrace.limits import MemoryLimits, Quota
from tailrace.metrics import Metrics
from tailrace.requests import ChatRequest, user_message
from tailrace.settings import StreamSettings

pytestmark = pytest.mark.usefixtures("no_leaks")


class Books(FakeLedger):
    """A ledger that notes what the bookkeeper does; `taken` are rows that another process has taken over.

    `trouble` is raised by what the bookkeeper awaits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.checkpoints: list[Mapping[str, Count]] = []
        self.settled: list[Settlement] = []
        self.sweeps = 0
        self.taken: list[str] = []
        self.trouble: Exception | None = None

    def checkpoint(self, counts: Mapping[str, Count]) -> None:
        self.checkpoints.append(counts)

    async def settle(self, settlement: Settlement, *, patient: bool = False) -> bool:
        self.settled.append(settlement)
        return settlement.id not in self.taken

    async def sweep(self) -> list[str]:
        self.sweeps += 1
        if self.trouble is not None:
            raise self.trouble
        return []

    async def lost(self) -> list[str]:
        return self.taken


class Desk:
    """Generations with their books."""

    def __init__(self) -> None:
        self.books = Books()
        self.tap = Tap()
        self.generations = Generations(StreamSettings(retries=0), metrics=Metrics())
        self.bookkeeper = Bookkeeper(self.books, self.generations, checkpoint_s=0.01, sweep_s=0.02)

    async def begin(self) -> Generation:
        """An answer under way."""
        asked = opening()
        account = Account(self.books, asked, await MemoryLimits().acquire("k1", Quota(), tokens=1))
        request = ChatRequest(model="m", messages=(user_message("Hi"),))
        generation = self.generations.start([Attempt(provider=self.tap, request=request)], account=account)
        await self.tap.asked(len(self.generations.running()))
        return generation


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    """A bookkeeper at work."""
    made = Desk()
    made.bookkeeper.start()
    try:
        yield made
    finally:
        await made.generations.close()
        await made.bookkeeper.stop()


def test_the_pace() -> None:
    """A checkpoint is due each second, a sweep each two."""
    assert (CHECKPOINT_S, SWEEP_S) == (1.0, 2.0)


async def test_checkpoints_hold_all_that_runs() -> None:
    """Each record has the counts of every running generation, with a guess of the input until the upstream says it."""
    async with desk() as made:
        first, second = await made.begin(), await made.begin()
        made.tap.runs[0].say("one", " two")
        counts = {
            first.id: Count(input_tokens=11, output_tokens=2, delivered_tokens=0),
            second.id: Count(input_tokens=11, output_tokens=0, delivered_tokens=0),
        }
        await until(lambda: counts in made.books.checkpoints)
        made.tap.runs[0].finish()
        await first.ended()
        seen = len(made.books.checkpoints)
        await until(lambda: len(made.books.checkpoints) > seen)
        assert list(made.books.checkpoints[-1]) == [second.id]


async def test_a_slow_sweep_holds_no_checkpoint_up() -> None:
    """While the database lets a sweep wait, checkpoints go on."""
    async with desk() as made:
        held = asyncio.Event()

        async def sweep() -> list[str]:
            made.books.sweeps += 1
            await held.wait()
            return []

        made.books.sweep = sweep  # type: ignore[method-assign]
        await until(lambda: made.books.sweeps)
        seen = len(made.books.checkpoints)
        await until(lambda: len(made.books.checkpoints) > seen + 3)
        assert made.books.sweeps == 1


@pytest.mark.parametrize("trouble", [StoreError("the database is down"), ZeroDivisionError("a bug")])
async def test_trouble_is_logged_and_survived(trouble: Exception) -> None:
    """Whatever a sweep raises is logged, a database that is down once, and the next ones are made all the same."""
    with capture_logs() as logs:
        async with desk() as made:
            made.books.trouble = trouble
            await until(lambda: made.books.sweeps >= 3)
            made.books.trouble = None
            seen = made.books.sweeps
            await until(lambda: made.books.sweeps >= seen + 2)
            assert made.books.checkpoints
    events = [line["event"] for line in logs]
    if isinstance(trouble, StoreError):
        assert events == [
            "the database does not answer: settlements wait on disk",
            "the database answers again",
        ]
    else:
        assert set(events) == {"bookkeeping_failed"}


async def test_a_lost_row_s_generation_is_stopped() -> None:
    """A generation whose row another process has taken over is stopped, its upstream closed, its figures dropped."""
    async with desk() as made:
        lost, kept = await made.begin(), await made.begin()
        made.books.taken = [lost.id, "gen_of_before"]
        await lost.ended()
        assert made.tap.runs[0].cancelled
        assert [settlement.reason for settlement in made.books.settled] == ["interrupted"]
        assert not kept.stopped


async def test_stopping_leaves_nothing() -> None:
    """After `stop` no task is left to note or sweep anything; to stop twice, or before the start, does nothing."""
    made = Desk()
    await made.bookkeeper.stop()
    made.bookkeeper.start()
    await until(lambda: made.books.sweeps)
    await made.bookkeeper.stop()
    await made.bookkeeper.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# On the real ledger


async def seen_running(house: Gateway, pieces: int) -> None:
    """Wait until the row, which still runs, has so many tokens, all delivered."""
    (row,) = await eventually(house.rows, lambda rows: rows[0].output_tokens == pieces)
    assert (row.status, row.delivered_tokens) == ("running", pieces)


async def noted_again(house: Gateway) -> None:
    """Wait for the next checkpoint to be written."""
    before = house.execute("SELECT written_at FROM checkpoints")
    await until(lambda: house.execute("SELECT written_at FROM checkpoints") != before)


async def test_a_running_row_is_read_as_it_stands() -> None:
    """While an answer runs its row has the figures of the last second."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader)
        for pieces in (3, 8):
            run.say(*["x"] * (pieces - house.tailrace.generations.running()[0].count().output_tokens))
            await reader.until(b'"delta":"x"', times=pieces)
            await seen_running(house, pieces)


async def test_a_killed_server_s_rows_are_settled_at_the_next_start(tmp_path: Path) -> None:
    """`kill -9` in mid-stream: the next server on the same folder settles the row as it was last noted."""
    folder = tmp_path / "data"
    model = "simulated/n1000-d10"
    async with running_server(env={"TAILRACE_DATA_DIR": str(folder)}) as server, Reader(server.url) as reader:
        await reader.ask("POST", STREAM, {"message": "Hi", "model": model, "session_id": "s"})
        await reader.until(b'"delta"')
        await until(lambda: execute(folder / "tailrace.db", "SELECT count(*) FROM checkpoints") == [(1,)])
        server.signal(signal.SIGKILL)
        await server.ended()
    assert execute(folder / "tailrace.db", "SELECT status FROM generations") == [("running",)]
    async with gateway(data_dir=folder) as house:
        row = await house.settled_row()
        assert (row.status, row.source, row.model) == ("interrupted", "estimated", model)
        assert 0 < (row.output_tokens or 0) < 1000
        assert (row.input_tokens or 0) > 0
        # The session is free again: the next request goes on where the user had asked.
        answer = await house.say("Hello", session_id="s")
        assert answer.text == "Hello"
        assert [message.text for message in house.tap.runs[0].request.messages] == ["Hi", "Hi"]


async def test_streams_that_overdraw_a_budget_together_are_stopped() -> None:
    """Two streams that each keep within what was left when they began are stopped once they have spent it together."""
    async with gateway() as house, Reader(house.url) as first, Reader(house.url) as second:
        key = await house.key(budget_usd="0.001")  # a hundred tokens out
        runs = [await house.begin(reader, key=key, model="priced", max_tokens=10) for reader in (first, second)]
        for run in runs:
            run.say(*[" so"] * 45)
        for reader in (first, second):
            await reader.until(b'"delta"', times=45)
        await noted_again(house)
        await noted_again(house)
        assert len(house.tailrace.generations.running()) == 2
        for run in runs:
            run.say(*[" so"] * 20)
        for answer in [await reader.whole() for reader in (first, second)]:
            assert answer.objects[-1]["code"] == "budget_exceeded"
        assert all(run.over for run in runs)
        rows = await house.settled(2)
        assert {row.reason for row in rows} == {"budget_exceeded"}
        assert sum(row.cost or 0 for row in rows) < 2 * 10**9


async def test_a_stream_within_its_reservation_is_left_alone() -> None:
    """Where a budget is overdrawn only those are stopped that drew on more than they had reserved."""
    async with gateway() as house, Reader(house.url) as greedy, Reader(house.url) as modest:
        key = await house.key(budget_usd="0.001")
        runs = [
            await house.begin(reader, key=key, model="priced", max_tokens=most)
            for reader, most in ((greedy, 10), (modest, 70))
        ]
        runs[0].say(*[" so"] * 35)
        runs[1].say(*[" so"] * 60)
        assert (await greedy.whole()).objects[-1]["code"] == "budget_exceeded"
        runs[1].finish()
        assert (await modest.whole()).objects[-1]["done"]
        assert [row.status for row in await house.settled(2)] == ["failed", "finished"]
