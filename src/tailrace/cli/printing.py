"""Prints what commands found: nothing in it can speak to the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import typer
from rich.cells import cell_len

from tailrace.dialects.base import json_bytes
from tailrace.web import logs

_BEYOND_ASCII: Final = re.compile("[\x7f-\U0010ffff]+")


def show_help(context: typer.Context) -> None:
    """What there is, where no command was named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def print_json(value: Any) -> None:
    """One JSON document in ASCII, money exact."""
    text = json_bytes(value).decode()
    # Beyond ASCII there are texts alone, so each character may be put as its escape.
    typer.echo(_BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text))


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under their titles, in columns as wide as they need to be."""
    cells = [list(titles), *([logs.escape(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        typer.echo("  ".join(padded).rstrip())
