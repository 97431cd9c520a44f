"""`tailrace usage`: what was used, summed by key, model, day or status."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final

import typer

from tailrace.cli.opening import ConfigFlag, read_settings, use_ledger
from tailrace.cli.printing import print_json, print_table
from tailrace.keys import parse_flags
from tailrace.ledger import Ledger, Scope
from tailrace.web.admin import UsageQuery
from tailrace.web.figures import Figures, as_csv, as_json, read_total, total_columns

_BAR_CELLS: Final = 24
_TITLES: Final = ("GENERATIONS", "INPUT", "OUTPUT", "REASONING", "CACHED", "DELIVERED", "USD", "UNPRICED")


def usage(
    *,
    by: Annotated[str, typer.Option(metavar="key|model|day|status", help="What to sum over; days are UTC's.")] = "key",
    since: Annotated[str, typer.Option(metavar="7d", help="A span until now, or a date.")] = "7d",
    as_json_document: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv_file: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    config: ConfigFlag = None,
) -> None:
    """Show settled usage, everyone's."""
    if as_json_document and as_csv_file:
        raise typer.BadParameter("give --json or --csv, not both")
    asked = parse_flags({"by": by, "since": since}, UsageQuery)
    sums = use_ledger(read_settings(config=config).settings, lambda ledger: _sum(ledger, asked))
    columns = total_columns(asked.by)
    if as_json_document:
        print_json({"data": [as_json(figures) for figures in sums]})
    elif as_csv_file:
        typer.echo(as_csv(columns, sums), nl=False)
    else:
        bars = _bars([figures["output_tokens"] for figures in sums]) if _is_terminal() else [[] for _ in sums]
        rows = [_row(columns, figures) + bar for figures, bar in zip(sums, bars, strict=True)]
        print_table([asked.by.upper(), *_TITLES, *([""] if any(bars) else [])], rows)


async def _sum(ledger: Ledger, asked: UsageQuery) -> list[Figures]:
    totals = await ledger.totals(Scope(), by=asked.by, since=asked.since)
    names = {key.id: key.name for key in await ledger.keys()} if asked.by == "key" else {}
    return [read_total(total, asked.by, names) for total in totals]


def _row(columns: tuple[str, ...], figures: Figures) -> list[str]:
    """One cell for what was summed over, a key with its name, then the figures."""
    group, *shown = (_show(figures[name]) for name in columns)
    if "key_name" in columns:
        name, *shown = shown
        group = group if figures["key_name"] is None else f"{group} ({name})"
    return [group, *shown]


def _bars(values: list[int]) -> list[list[str]]:
    """One bar each, the longest for the most output tokens."""
    most = max([*values, 1])
    return [["█" * round(_BAR_CELLS * value / most)] for value in values]


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _show(value: Any) -> str:
    return "-" if value is None else str(value)
