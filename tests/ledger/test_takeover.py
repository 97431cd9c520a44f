"""What happens to a row between its owner's death and its settlement."""

from __future__ import annotations

from tests.ledger.crashing import Crashing
from tests.ledger.specimens import begun, row, settlement

from tailrace.ledger import Count, Price
from tailrace.ledger.locks import new_owner
from tailrace.ledger.settlements import take_over


async def test_a_row_keeps_its_figures_from_owner_to_owner(crashing: Crashing) -> None:
    """A process that dies right after it took a row over leaves the row's figures to the next, who settles it once."""
    first, ledger = await crashing.start(), (await crashing.start()).ledger
    opened = await begun(first.ledger, price=Price(input=1, cached_input=1, output=10))
    first.ledger.checkpoint({opened: Count(output_tokens=6, delivered_tokens=4)})
    (owner,) = first.owners.names
    nobody = new_owner()
    await first.database.write(take_over, owner, nobody)
    assert await first.ledger.lost() == [opened]
    assert not await first.ledger.settle(settlement(opened))
    assert await ledger.sweep() == [opened]
    assert await ledger.sweep() == []
    found = await row(ledger, opened)
    assert (found.status, found.output_tokens, found.delivered_tokens) == ("interrupted", 6, 4)
    assert (found.input_tokens, found.cost) == (11, 71)


async def test_a_crash_leaves_no_record(crashing: Crashing) -> None:
    """The last checkpoint of a dead process goes with its rows, and with a process that ends in order its own."""
    first, second = await crashing.start(), await crashing.start()
    for process in (first, second):
        opened = await begun(process.ledger)
        process.ledger.checkpoint({opened: Count(output_tokens=1, delivered_tokens=1)})
    await second.ledger.settle(settlement(opened))
    await crashing.crash(first)
    await crashing.stop(second)
    last = await crashing.start()
    assert last.execute("SELECT count(*) FROM checkpoints") == [(0,)]
