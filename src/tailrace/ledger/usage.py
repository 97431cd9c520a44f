"""Reads the ledger's rows back: one by one, and summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from tailrace.ledger.base import Count, Page, Row, Scope
from tailrace.ledger.checkpoints import read_counts
from tailrace.ledger.cursors import Place, make_page
from tailrace.ledger.database import Query, Work
from tailrace.ledger.prices import read_price
from tailrace.ledger.reports import Grouping, Total

_COLUMNS: Final = """id, created_at, key_id, user_name, provider, model, session_id, status, reason, input_tokens,
        output_tokens, reasoning_tokens, cached_input_tokens, source, delivered_tokens, cost, ttft_ms, duration_ms,
        price_input, price_cached_input, price_output"""

_FIND: Final = Query(f"""-- One generation.
    SELECT {_COLUMNS} FROM generations WHERE id = :id""")  # noqa: S608 - of our own words only

_GROUPS: Final[Mapping[Grouping, str]] = {
    "key": "key_id",
    "model": "model",
    "day": "day",
    "status": "status",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def list_rows(scope: Scope, limit: int, place: Place | None, running: bool) -> Work[Page]:
    """A page of rows, newest first, or of those that run; these that run with the figures of their last checkpoint."""
    values = {**_narrowed(scope), "limit": limit + 1}
    if place is not None:
        values |= {"time": place[0], "id": place[1]}
    follows = ("(created_at, id) < (:time, :id)",) if place else ()
    runs = ("status = 'running'",) if running else ()
    found = yield _list(*_filters(scope), *follows, *runs), values
    counts = yield from read_counts()
    return make_page([_row(row, counts) for row in found], limit, lambda row: (row.created_at, row.id))


def find_row(generation_id: str) -> Work[Row | None]:
    """One row; of one that runs with the figures of its last checkpoint."""
    found = yield _FIND, {"id": generation_id}
    if not found:
        return None
    counts = yield from read_counts()
    return _row(found[0], counts)


def list_totals(scope: Scope, by: Grouping, since: float) -> Work[list[Total]]:
    """Settled usage of rows opened since then, summed for each key, model, day or status."""
    found = yield _sum(_GROUPS[by], *_filters(scope)), {**_narrowed(scope), "since": since}
    return [_total(by, row) for row in found]


@cache
def _list(*filters: str) -> Query:
    return Query(f"""-- Generations, newest first.
    SELECT {_COLUMNS} FROM generations WHERE {" AND ".join(filters) or "1 = 1"}
    ORDER BY created_at DESC, id DESC LIMIT :limit""")  # noqa: S608 - of our own words only


@cache
def _sum(group: str, *filters: str) -> Query:
    return Query(f"""-- Settled usage, summed.
    SELECT {group}, count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
        coalesce(sum(reasoning_tokens), 0), coalesce(sum(cached_input_tokens), 0),
        coalesce(sum(delivered_tokens), 0), coalesce(sum(cost), 0), count(*) - count(cost)
    FROM generations WHERE {" AND ".join(("status <> 'running'", "created_at >= :since", *filters))}
    GROUP BY {group} ORDER BY {group}""")  # noqa: S608 - of our own words only


def _filters(scope: Scope) -> tuple[str, ...]:
    by_key = ("key_id = :key_id",) if scope.key_id is not None else ()
    return (*by_key, "user_name = :user_name") if scope.user is not None else by_key


def _narrowed(scope: Scope) -> dict[str, Any]:
    named = {"key_id": scope.key_id, "user_name": scope.user}
    return {name: value for name, value in named.items() if value is not None}


def _row(row: Sequence[Any], counts: Mapping[str, Count]) -> Row:
    count = counts.get(row[0]) if row[7] == "running" else None
    return Row(
        id=row[0],
        created_at=row[1],
        scope=Scope(key_id=row[2] or None, user=row[3] or None),
        provider=row[4],
        model=row[5],
        session_id=row[6],
        status=row[7],
        reason=row[8],
        input_tokens=row[9] if count is None or count.input_tokens is None else count.input_tokens,
        output_tokens=row[10] if count is None else count.output_tokens,
        reasoning_tokens=row[11],
        cached_input_tokens=row[12],
        source=row[13],
        delivered_tokens=row[14] if count is None else count.delivered_tokens,
        cost=row[15],
        ttft_ms=row[16],
        duration_ms=row[17],
        price=read_price(row[18:]),
    )


def _total(by: Grouping, row: Sequence[Any]) -> Total:
    group = str((_EPOCH + timedelta(days=row[0])).date()) if by == "day" else row[0]
    # PostgreSQL sums whole numbers to decimals.
    generations, asked, answered, reasoning, cached, delivered, cost, unpriced = (int(value) for value in row[1:])
    return Total(
        group=group,
        generations=generations,
        input_tokens=asked,
        output_tokens=answered,
        reasoning_tokens=reasoning,
        cached_input_tokens=cached,
        delivered_tokens=delivered,
        cost=cost,
        unpriced=unpriced,
    )
