"""What every ledger says of what was used: row by row, and summed."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from tests.ledger.specimens import begun, settlement

from tailrace.errors import RequestError
from tailrace.ledger import Ledger, Scope
from tailrace.ledger.cursors import write_cursor

ANN = Scope(key_id="k1", user="ann")
BOB = Scope(key_id="k1", user="bob")
OTHER = Scope(key_id="k2")


async def test_rows_come_newest_first_in_pages(ledger: Ledger) -> None:
    """Every row comes once, newest first, however the pages are cut and whatever is added meanwhile."""
    now = time.time()
    opened = [await begun(ledger, created_at=now + place // 2) for place in range(7)]
    seen, cursor = [], None
    while True:
        page = await ledger.rows(Scope(), limit=2, cursor=cursor)
        seen += [(row.created_at, row.id) for row in page.items]
        await begun(ledger, created_at=now + 100)
        if (cursor := page.next_cursor) is None:
            break
    assert seen == sorted(seen, reverse=True)
    assert sorted(id_ for _, id_ in seen) == sorted(opened)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [(Scope(), {"a", "b", "c"}), (Scope(key_id="k1"), {"a", "b"}), (ANN, {"a"}), (Scope(user="bob"), {"b"})],
)
async def test_rows_and_totals_are_scoped(ledger: Ledger, scope: Scope, expected: set[str]) -> None:
    """A key sees its own usage, a user the user's own, an admin everyone's."""
    for id_, whose in (("a", ANN), ("b", BOB), ("c", OTHER)):
        await begun(ledger, id=id_, scope=whose)
        await ledger.settle(settlement(id_))
    page = await ledger.rows(scope, limit=10)
    assert {row.id for row in page.items} == expected
    assert page.next_cursor is None
    totals = await ledger.totals(scope, by="model", since=0)
    assert sum(total.generations for total in totals) == len(expected)


async def test_totals_sum_what_is_settled(ledger: Ledger) -> None:
    """Totals count settled rows since a time, sum their figures, and say how many had no price."""
    now = time.time()
    for place, cost in enumerate([5, 7, None]):
        opened = await begun(ledger, created_at=now)
        await ledger.settle(settlement(opened, cost=cost, reasoning_tokens=place, cached_input_tokens=None))
    await begun(ledger, created_at=now)
    old = await begun(ledger, created_at=now - 1000)
    await ledger.settle(settlement(old, cost=100))
    (total,) = await ledger.totals(Scope(), by="key", since=now - 10)
    assert (total.group, total.generations, total.cost, total.unpriced) == ("k1", 3, 12, 1)
    assert (total.input_tokens, total.output_tokens, total.delivered_tokens) == (30, 60, 60)
    assert (total.reasoning_tokens, total.cached_input_tokens) == (3, 0)
    assert all(type(value) is int for value in (total.cost, total.input_tokens, total.generations))


async def test_totals_group_by_key_model_and_utc_day(ledger: Ledger) -> None:
    """Each grouping names its groups: a key's id, a model's name, a day as written in UTC."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
    for scope, model, created_at in ((ANN, "m1", noon), (OTHER, "m1", noon), (OTHER, "m2", noon + 13 * 3600)):
        opened = await begun(ledger, scope=scope, model=model, created_at=created_at)
        await ledger.settle(settlement(opened))

    async def counted(by: str) -> dict[str, int]:
        return {total.group: total.generations for total in await ledger.totals(Scope(), by=by, since=0)}  # type: ignore[arg-type]

    assert await counted("key") == {"k1": 1, "k2": 2}
    assert await counted("model") == {"m1": 2, "m2": 1}
    assert await counted("day") == {"2026-03-01": 2, "2026-03-02": 1}


@pytest.mark.parametrize(
    "cursor", ["", "x", "bm9uZQ", "é", "WzEsIDJd", write_cursor((1.0, "a")) + "=", "W251bGwsImEiXQ"]
)
async def test_a_cursor_that_is_none_is_refused(ledger: Ledger, cursor: str) -> None:
    """A text that was never a page's cursor is the client's error."""
    for page in (ledger.rows(Scope(), limit=1, cursor=cursor), ledger.sessions(ANN, limit=1, cursor=cursor)):
        with pytest.raises(RequestError) as error:
            await page
        assert (error.value.status, error.value.code) == (400, "invalid_cursor")
