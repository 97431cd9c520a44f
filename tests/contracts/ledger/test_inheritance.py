"""What every ledger promises of a row whose log was taken over while its owner lives: one settlement, never its own."""

from __future__ import annotations

import asyncio

from tests.ledger.installation import Installation
from tests.ledger.specimens import begun, row, settlement
from tests.waiting import eventually

from tailrace.ledger import Count, Ledger, Price

PRICE = Price(input=3, cached_input=1, output=7)


async def test_a_row_is_inherited_once(installation: Installation) -> None:
    """It is settled with what its owner noted last, though that one lives; of the owner's own word, and of whoever
    inherits it again, nothing is written."""
    owner, heir, other = [await installation.open() for _ in range(3)]
    taken, kept = await begun(owner, price=PRICE), await begun(owner)
    owner.checkpoint({taken: Count(output_tokens=5, delivered_tokens=4, input_tokens=6)})
    await eventually(lambda: row(owner, taken), lambda found: found.output_tokens == 5)
    assert sorted(await asyncio.gather(heir.inherit(taken), other.inherit(taken))) == [False, True]
    settled = await row(heir, taken)
    assert (settled.status, settled.output_tokens, settled.delivered_tokens) == ("interrupted", 5, 4)
    assert settled.cost == 6 * 3 + 5 * 7
    assert await owner.lost() == [taken]
    assert not await owner.settle(settlement(taken))
    assert await row(heir, taken) == settled
    assert await owner.settle(settlement(kept))


async def test_what_is_settled_is_nobodys_heritage(ledger: Ledger, installation: Installation) -> None:
    """A row that ended is left alone, and so is one that never was."""
    heir = await installation.open()
    done = await begun(ledger)
    await ledger.settle(settlement(done))
    assert not await heir.inherit(done)
    assert not await heir.inherit("gen_none")
    assert (await row(heir, done)).status == "finished"


async def test_a_row_that_was_forfeited(ledger: Ledger, installation: Installation) -> None:
    """Its process writes nothing more to it, its own sweeps neither; who took the log over settles it later."""
    heir = await installation.open()
    lost = await begun(ledger)
    ledger.forfeit(lost)
    assert not await ledger.settle(settlement(lost))
    assert await ledger.sweep() == []
    assert (await row(ledger, lost)).status == "running"
    assert await heir.inherit(lost)
    assert (await row(ledger, lost)).status == "interrupted"
