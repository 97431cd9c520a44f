"""The ledger's rows, read from outside: beside the server that writes them, or after its end."""

from __future__ import annotations

from typing import Any, TypeAlias

from tailrace.ledger import Scope, create_ledger
from tailrace.settings import Settings
from tailrace.web.figures import as_json, read_row

Row: TypeAlias = dict[str, Any]
"""A row as the API shows it."""


async def read_rows(settings: Settings) -> list[Row]:
    """All rows, newest first."""
    ledger = create_ledger(settings, serving=False)
    await ledger.open()
    try:
        page = await ledger.rows(Scope(), limit=10_000)
        return [as_json(read_row(row)) for row in page.items]
    finally:
        await ledger.close()
