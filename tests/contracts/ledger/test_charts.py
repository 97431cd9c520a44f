"""What every ledger says of usage over time: steps, percentiles, and what keys have spent."""

from __future__ import annotations

import math
import random
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.ledger.specimens import begun, settlement

from tailrace.ledger import Budget, Ledger, Point, Scope, Spending, Split, Spread

NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())


async def settled(ledger: Ledger, created_at: float, *, key_id: str = "k1", model: str = "m1", **figures: Any) -> None:
    """One settled row."""
    opened = await begun(ledger, created_at=created_at, scope=Scope(key_id=key_id), model=model)
    await ledger.settle(settlement(opened, **figures))


async def test_points_fall_into_their_hour_and_day(ledger: Ledger) -> None:
    """A row belongs to the step that holds its opening, to the last microsecond of it."""
    for moment in (NOON, NOON + 3599.75, NOON + 3600, NOON + 13 * 3600 - 0.001):
        await settled(ledger, moment)
    hours = await ledger.points(step="hour", split="model", since=0)
    assert [(point.starts - NOON, point.generations) for point in hours] == [(0, 2), (3600, 1), (12 * 3600, 1)]
    days = await ledger.points(step="day", split="model", since=0)
    assert [(point.starts - NOON, point.generations) for point in days] == [(-12 * 3600, 3), (12 * 3600, 1)]


async def test_a_point_sums_what_is_settled(ledger: Ledger) -> None:
    """Settled rows since a time, in whole numbers; running rows and older ones are left out."""
    for cost in (5, 7, None):
        await settled(ledger, NOON, cost=cost)
    await settled(ledger, NOON - 7200)
    await begun(ledger, created_at=NOON)
    (point,) = await ledger.points(step="hour", split="key", since=NOON)
    assert point == Point(
        starts=NOON, group="k1", generations=3, input_tokens=30, output_tokens=60, cost=12, unpriced=1
    )  # fmt: skip
    assert type(point.cost) is type(point.starts) is int


@pytest.mark.parametrize(
    ("split", "groups"),
    [("key", ["k1", "k2"]), ("model", ["m1", "m2"]), ("provider", ["simulated"]), ("status", ["aborted", "finished"])],
)
async def test_points_are_split(ledger: Ledger, split: Split, groups: list[str]) -> None:
    """By each of the four that a chart may be split by."""
    await settled(ledger, NOON)
    await settled(ledger, NOON, key_id="k2", model="m2", status="aborted", reason="cancelled")
    assert [point.group for point in await ledger.points(step="day", split=split, since=0)] == groups


async def test_totals_by_status(ledger: Ledger) -> None:
    """How many finished and how many were aborted: the aborted share."""
    for status in ("finished", "finished", "aborted"):
        await settled(ledger, NOON, status=status)
    totals = await ledger.totals(Scope(), by="status", since=0)
    assert {total.group: total.generations for total in totals} == {"finished": 2, "aborted": 1}


@pytest.mark.parametrize("count", [1, 2, 7, 100])
async def test_percentiles_are_those_of_the_rows(ledger: Ledger, count: int) -> None:
    """The nearest-rank percentiles, whatever order the rows came in."""
    waits = [float(number) for number in range(1, count + 1)]
    for wait in random.Random(count).sample(waits, count):
        await settled(ledger, NOON, ttft_ms=wait, duration_ms=wait + 19 * 2.0, output_tokens=20)

    def rank(percent: int) -> float:
        return waits[math.ceil(count * percent / 100) - 1]

    everything, only = await ledger.latencies(since=0)
    assert (everything.model, only.model) == (None, "m1")
    assert everything.first_token == Spread(answers=count, p50=rank(50), p90=rank(90), p99=rank(99))
    assert everything.between_tokens == only.between_tokens == Spread(answers=count, p50=2, p90=2, p99=2)


async def test_answers_that_say_nothing_of_a_duration_count_for_nothing(ledger: Ledger) -> None:
    """No first token: no wait for it; one token, or cut off: nothing between tokens. Nothing at all: no entry."""
    assert await ledger.latencies(since=0) == []
    await settled(ledger, NOON, ttft_ms=None)
    assert await ledger.latencies(since=0) == []
    await settled(ledger, NOON, ttft_ms=5, output_tokens=1)
    await settled(ledger, NOON, ttft_ms=5, model="m2", status="aborted")
    everything, *models = await ledger.latencies(since=0)
    assert everything.first_token == Spread(answers=2, p50=5, p90=5, p99=5)
    assert everything.between_tokens is None
    assert [latency.model for latency in models] == ["m1", "m2"]


async def test_spending_is_what_budgets_count(ledger: Ledger) -> None:
    """Settled costs and open reservations, of this day, this month and in all: the same as each budget is told."""
    now = time.time()
    await settled(ledger, now, cost=5)
    await settled(ledger, now - 70 * 86400, cost=100)
    await begun(ledger, created_at=now, reserved=7)
    await settled(ledger, now, key_id="k2", cost=1)
    assert await ledger.spending() == [
        Spending(key_id="k1", day=12, month=12, total=112),
        Spending(key_id="k2", day=1, month=1, total=1),
    ]
    assert await ledger.spent("k1", Budget(amount=1, period="month")) == 12


async def test_the_rows_that_run(ledger: Ledger) -> None:
    """Only those, newest first, in pages like the others."""
    now = time.time()
    running = [await begun(ledger, created_at=now + place) for place in range(3)]
    await settled(ledger, now)
    page = await ledger.rows(Scope(), limit=2, running=True)
    assert [row.id for row in page.items] == [running[2], running[1]]
    rest = await ledger.rows(Scope(), limit=2, cursor=page.next_cursor, running=True)
    assert ([row.id for row in rest.items], rest.next_cursor) == ([running[0]], None)
