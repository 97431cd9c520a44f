"""Usage as programs read it: the ledger's rows and totals as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from pydantic import BaseModel

from tailrace.ledger import Grouping, Pico, Row, Total
from tailrace.money import show_usd
from tailrace.web.logs import escape

Figures: TypeAlias = dict[str, Any]
"""Names and values in the order of their columns; money as an exact decimal text."""

_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class RowFace(BaseModel):
    """One generation; null is not known, or for the cost: without a price."""

    id: str
    created_at: float
    key_id: str | None
    user: str | None
    provider: str
    model: str
    session_id: str | None
    status: str
    reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cached_input_tokens: int | None
    source: str | None
    delivered_tokens: int | None
    cost_usd: float | None
    ttft_ms: float | None
    duration_ms: float | None


class RowList(BaseModel):
    """Generations, newest first."""

    data: list[RowFace]
    next_cursor: str | None


class TotalFace(BaseModel):
    """The sum over one key, one model, one day (UTC) or one status, whichever was asked for.

    `cost_usd` sums what has a price and is null where nothing has; `unpriced` counts the generations without.
    """

    key_id: str | None = None
    key_name: str | None = None
    model: str | None = None
    day: str | None = None
    status: str | None = None
    generations: int
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cached_input_tokens: int
    delivered_tokens: int
    cost_usd: float | None
    unpriced: int


class TotalList(BaseModel):
    """Sums, by what they were asked for."""

    data: list[TotalFace]


ROW_COLUMNS: Final = tuple(RowFace.model_fields)
_SUMMED: Final = tuple(name for name, field in TotalFace.model_fields.items() if field.is_required())
_GROUPED: Final[Mapping[Grouping, tuple[str, ...]]] = {
    "key": ("key_id", "key_name"),
    "model": ("model",),
    "day": ("day",),
    "status": ("status",),
}


def total_columns(by: Grouping) -> tuple[str, ...]:
    """The names of a total's figures, in order."""
    return (*_GROUPED[by], *_SUMMED)


def read_row(row: Row) -> Figures:
    """The figures of one generation."""
    return {
        "id": row.id,
        "created_at": row.created_at,
        "key_id": row.scope.key_id,
        "user": row.scope.user,
        "provider": row.provider,
        "model": row.model,
        "session_id": row.session_id,
        "status": row.status,
        "reason": row.reason,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "cached_input_tokens": row.cached_input_tokens,
        "source": row.source,
        "delivered_tokens": row.delivered_tokens,
        "cost_usd": None if row.cost is None else show_usd(row.cost),
        "ttft_ms": row.ttft_ms,
        "duration_ms": row.duration_ms,
    }


def read_total(total: Total, by: Grouping, names: Mapping[str, str]) -> Figures:
    """The figures of a sum; `names` are the keys', by id."""
    named = (total.group, names.get(total.group)) if by == "key" else (total.group,)
    return {
        **dict(zip(_GROUPED[by], named, strict=True)),
        "generations": total.generations,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "reasoning_tokens": total.reasoning_tokens,
        "cached_input_tokens": total.cached_input_tokens,
        "delivered_tokens": total.delivered_tokens,
        "cost_usd": None if total.unpriced == total.generations else show_usd(total.cost),
        "unpriced": total.unpriced,
    }


def as_json(figures: Figures) -> Figures:
    """The same with money as a JSON number, exact to the last digit."""
    cost = figures["cost_usd"]
    return {**figures, "cost_usd": None if cost is None else msgspec.Raw(cost.encode())}


def usd_json(pico: Pico | None) -> msgspec.Raw | None:
    """Money as a JSON number, exact to the last digit."""
    return None if pico is None else msgspec.Raw(show_usd(pico).encode())


def as_csv(columns: Sequence[str], rows: Iterable[Figures]) -> str:
    """Rows under their columns, as RFC 4180 has it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would run as a formula, or a terminal as a command, is made harmless."""
    if not isinstance(value, str):
        return value
    return f"'{escape(value)}" if value.startswith(_FORMULA) else escape(value)
