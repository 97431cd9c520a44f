"""The ledger of a server, read from outside: beside it while it runs, or after its end."""

from __future__ import annotations

from typing import Any

from tailrace.ledger import Scope, create_ledger
from tailrace.settings import Settings
from tailrace.web.figures import as_json, read_row


async def kept_rows(settings: Settings) -> list[dict[str, Any]]:
    """All rows, newest first, as the API shows them."""
    ledger = create_ledger(settings, serving=False)
    await ledger.open()
    try:
        page = await ledger.rows(Scope(), limit=10_000)
        return [as_json(read_row(row)) for row in page.items]
    finally:
        await ledger.close()
