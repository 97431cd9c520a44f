"""What every ledger promises of its own beginning and end."""

from __future__ import annotations

import asyncio

import pytest
from tests.ledger.installation import Installation
from tests.ledger.specimens import begun, row, settlement, turn

from tailrace.ledger import Count, Ledger, Scope, create_ledger


@pytest.mark.usefixtures("no_leaks")
async def test_a_closed_ledger_leaves_nothing(installation: Installation) -> None:
    """Once it is closed there is no task, connection or file of it left, whatever it did."""
    for _ in range(2):
        ledger = await installation.open()
        opened = await begun(ledger, session_id="s", turns=(turn("x"),))
        ledger.checkpoint({opened: Count(output_tokens=1, delivered_tokens=1)})
        await asyncio.gather(
            ledger.sweep(), ledger.totals(Scope(), by="key", since=0), ledger.settle(settlement(opened))
        )
        await installation.close_ledger(ledger)


async def test_closing_finishes_what_was_begun(installation: Installation) -> None:
    """Settlements that were asked for before the ledger closes are written before it has closed."""
    ledger = await installation.open()
    opened = [await begun(ledger) for _ in range(20)]
    settling = [asyncio.create_task(ledger.settle(settlement(id_))) for id_ in opened]
    await asyncio.sleep(0)
    await installation.close_ledger(ledger)
    assert await asyncio.gather(*settling) == [True] * 20
    after = await installation.open()
    assert {(await row(after, id_)).status for id_ in opened} == {"finished"}


async def test_a_ledger_that_does_not_serve_reads_and_keeps_keys(installation: Installation, ledger: Ledger) -> None:
    """The command line's ledger opens beside the server's, reads its rows, and disturbs none of them."""
    opened = await begun(ledger)
    beside = create_ledger(installation.settings, serving=False)
    await beside.open()
    assert [found.id for found in (await beside.rows(Scope(), limit=5)).items] == [opened]
    assert await beside.lost() == []
    await beside.close()
    assert await ledger.settle(settlement(opened))
