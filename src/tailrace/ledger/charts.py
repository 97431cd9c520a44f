"""Sums the ledger's rows for charts: usage in steps of time, and percentiles of what people waited for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from tailrace.ledger.database import Query, Rows, Work
from tailrace.ledger.reports import Latency, Point, Split, Spread, Step

_SECONDS: Final[Mapping[Step, int]] = {"hour": 3600, "day": 86400}
_SPLITS: Final[Mapping[Split, str]] = {"key": "key_id", "model": "model", "provider": "provider", "status": "status"}
_FIRST_TOKEN: Final = ("ttft_ms", "ttft_ms IS NOT NULL")
_BETWEEN_TOKENS: Final = (
    "(duration_ms - ttft_ms) / (output_tokens - 1)",
    "status = 'finished' AND output_tokens > 1 AND ttft_ms IS NOT NULL",
)


def list_points(step: Step, split: Split, since: float) -> Work[list[Point]]:
    """Settled usage of rows opened since then, by step of time and group, the earliest first."""
    found = yield _sum(_SECONDS[step], _SPLITS[split]), {"since": since}
    # PostgreSQL sums whole numbers to decimals.
    return [_point(_SECONDS[step], group, [int(starts), *map(int, sums)]) for starts, group, *sums in found]


def list_latencies(since: float) -> Work[list[Latency]]:
    """Percentiles of settled rows opened since then: of all, then of each model."""
    first = _spreads((yield _rank(*_FIRST_TOKEN), {"since": since}))
    between = _spreads((yield _rank(*_BETWEEN_TOKENS), {"since": since}))
    names = sorted(first.keys() | between.keys(), key=lambda name: (name is not None, name))
    return [Latency(model=name, first_token=first.get(name), between_tokens=between.get(name)) for name in names]


@cache
def _sum(seconds: int, group: str) -> Query:
    # Both databases know CAST, of which one cuts off and the other rounds: where it went up it is taken back.
    whole = "CAST(created_at AS BIGINT)"
    second = f"({whole} - CASE WHEN {whole} > created_at THEN 1 ELSE 0 END)"
    return Query(f"""-- Settled usage in steps of time.
    SELECT {second} / {seconds} AS step, {group}, count(*), coalesce(sum(input_tokens), 0),
        coalesce(sum(output_tokens), 0), coalesce(sum(cost), 0), count(*) - count(cost)
    FROM generations WHERE status <> 'running' AND created_at >= :since
    GROUP BY step, {group} ORDER BY step, {group}""")  # noqa: S608 - of our own words only


@cache
def _rank(value: str, condition: str) -> Query:
    return Query(f"""-- Percentiles of one duration, of all rows and of each model's.
    WITH measured AS (
        SELECT model AS name, {value} AS duration FROM generations
        WHERE status <> 'running' AND created_at >= :since AND {condition}),
    grouped AS (SELECT name, duration FROM measured UNION ALL SELECT NULL, duration FROM measured),
    ranked AS (
        SELECT name, duration, row_number() OVER (PARTITION BY name ORDER BY duration) AS place,
            count(*) OVER (PARTITION BY name) AS answers
        FROM grouped)
    SELECT name, answers, min(CASE WHEN place = (answers * 50 + 99) / 100 THEN duration END),
        min(CASE WHEN place = (answers * 90 + 99) / 100 THEN duration END),
        min(CASE WHEN place = (answers * 99 + 99) / 100 THEN duration END)
    FROM ranked GROUP BY name, answers""")  # noqa: S608 - of our own words only


def _point(seconds: int, group: str, figures: list[int]) -> Point:
    step, generations, asked, answered, cost, unpriced = figures
    return Point(
        starts=step * seconds,
        group=group,
        generations=generations,
        input_tokens=asked,
        output_tokens=answered,
        cost=cost,
        unpriced=unpriced,
    )


def _spreads(found: Rows) -> dict[str | None, Spread]:
    return {
        name: Spread(answers=answers, p50=round(p50, 3), p90=round(p90, 3), p99=round(p99, 3))
        for name, answers, p50, p90, p99 in found
    }
