"""The rows about several workers, at a size that proves nothing but that they measure what they say."""

from __future__ import annotations

import pytest
from bench.figures import Figure
from bench.load import Load
from bench.peers import PEERS
from bench.shared import LogRow, ReadersRow, SharedRow, WorkersRow
from bench.stand import Stand

pytestmark = pytest.mark.usefixtures("no_leaks")

PACED = Load(model="paced-n20-d10", streams=4, seconds=30)


def figures(*names: str) -> tuple[Figure, ...]:
    """Figures of these names."""
    return tuple(Figure(name=name, title=name, unit="x", ratio=False) for name in names)


async def sample(row: SharedRow) -> dict[str, float]:
    """What one round of a row finds."""
    (tailrace,) = [peer for peer in PEERS if row.serves(peer)]
    async with Stand() as stand:
        await row.warm_up(stand, tailrace)
        return await row.sample(stand, tailrace)


async def test_readers_of_another_workers_streams() -> None:
    """Each reader has a running stream's every token, timed from when it asked, over one subscribed connection."""
    model = "paced-n40-d100"
    row = ReadersRow(
        name="readers",
        figures=figures("memory", "p99", "links"),
        writing=Load(model=model, streams=3, hold=True, seconds=30),
        reading=Load(model=model, streams=30, spread_ms=500, timed=True, hold=True, seconds=30),
    )
    found = await sample(row)
    assert found["links"] == 1
    # Catching up isn't delay: the tokens of the first half second are older than that to most readers
    assert 0 < found["delay_p50"] < 500
    assert found["p99"] >= found["delay_p50"]
    assert found["reader_us_a_token"] > 0


async def test_redis_against_sqlite() -> None:
    """The same load costs something with either store."""
    found = await sample(LogRow(name="log", figures=figures("log"), load=PACED))
    assert min(found["sqlite_us"], found["redis_us"]) > 0
    assert found["log"] == pytest.approx(found["redis_us"] / found["sqlite_us"])


async def test_two_workers_against_one() -> None:
    """Two workers carry twice the streams, whole, and what that cost is told as streams at the same cost."""
    found = await sample(WorkersRow(name="workers", figures=figures("workers"), load=PACED))
    assert found["streams_at_the_same_cost"] == pytest.approx(2 / found["workers"])
