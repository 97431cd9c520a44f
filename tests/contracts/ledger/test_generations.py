"""What every ledger promises of a generation's row, from its opening to its one settlement."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.ledger.installation import Installation
from tests.ledger.specimens import SCOPE, begun, opening, row, settlement

from tailrace.errors import RequestError
from tailrace.ledger import Bill, Budget, Count, Joined, Ledger, Opened, Price, Scope

PRICE = Price(input=2, cached_input=1, output=10)


async def test_a_row_runs_until_it_is_settled(ledger: Ledger) -> None:
    """An opened row reads as running, with the opening's estimate; a settled one has every figure it was given."""
    asked = opening(session_id="s", price=PRICE, scope=Scope(key_id="k1", user="ann"))
    assert await ledger.begin(asked) == Opened()
    running = await row(ledger, asked.id)
    assert (running.status, running.input_tokens, running.output_tokens, running.price) == ("running", 11, None, PRICE)
    final = settlement(
        asked.id, reasoning_tokens=4, cached_input_tokens=3, cost=217, price=PRICE, ttft_ms=1.5, model="other"
    )
    assert await ledger.settle(final)
    settled = await row(ledger, asked.id)
    assert settled.scope == Scope(key_id="k1", user="ann")
    assert (settled.provider, settled.model, settled.session_id) == ("simulated", "other", "s")
    for name in settled.__struct_fields__:
        if name in final.__struct_fields__ and name not in ("provider", "model"):
            assert getattr(settled, name) == getattr(final, name), name


async def test_a_row_is_settled_once(ledger: Ledger) -> None:
    """Of two settlements of one row the first counts, and the second is told that it does not."""
    opened = await begun(ledger)
    assert await ledger.settle(settlement(opened, output_tokens=1))
    assert not await ledger.settle(settlement(opened, output_tokens=2))
    assert (await row(ledger, opened)).output_tokens == 1


async def test_only_its_owner_settles_a_row(installation: Installation) -> None:
    """Of two processes that settle a row at the same time it is the one that opened it that does."""
    first, second = await installation.open(), await installation.open()
    opened = await begun(first)
    done = await asyncio.gather(
        second.settle(settlement(opened, output_tokens=2)), first.settle(settlement(opened, output_tokens=1))
    )
    assert list(done) == [False, True]
    assert (await row(second, opened)).output_tokens == 1


@pytest.mark.parametrize("patient", [False, True])
async def test_a_settlement_outlives_its_caller(ledger: Ledger, patient: bool) -> None:
    """A task that is cancelled while it settles has settled."""
    opened = await begun(ledger)
    task = asyncio.create_task(ledger.settle(settlement(opened), patient=patient))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not await ledger.settle(settlement(opened, output_tokens=99))
    assert (await row(ledger, opened)).output_tokens == 20


async def test_an_opening_that_nobody_waited_for_is_swept(ledger: Ledger) -> None:
    """A row whose request was cancelled while it was opened is settled without usage, and its session is free."""
    asked = opening(session_id="s", price=PRICE, reserved=5, budget=Budget(amount=9, period="total"))
    task = asyncio.create_task(ledger.begin(asked))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # Whatever was committed of it is swept; after that the session and the budget are free again.
    other = opening(session_id="s", price=PRICE, reserved=9, budget=Budget(amount=9, period="total"))
    for _ in range(100):
        await ledger.sweep()
        try:
            assert await ledger.begin(other) == Opened()
            break
        except RequestError:
            continue
    assert await ledger.spent("k1", Budget(amount=9, period="total")) == 9
    rows = {found.id: found for found in (await ledger.rows(SCOPE, limit=9)).items}
    if asked.id in rows:
        swept = rows[asked.id]
        assert (swept.status, swept.input_tokens, swept.output_tokens, swept.cost) == ("interrupted", 0, 0, 0)


async def test_a_running_row_shows_its_last_checkpoint(ledger: Ledger) -> None:
    """What was noted last of a running generation is what its row shows, whoever reads it."""
    opened = await begun(ledger)
    ledger.checkpoint({opened: Count(output_tokens=1, delivered_tokens=1)})
    ledger.checkpoint({opened: Count(output_tokens=3, delivered_tokens=2, input_tokens=8)})
    deadline = time.monotonic() + 10
    while (found := await row(ledger, opened)).output_tokens != 3:
        assert time.monotonic() < deadline
    assert (found.input_tokens, found.delivered_tokens, found.status) == (8, 2, "running")


async def test_one_key_one_generation(ledger: Ledger) -> None:
    """An idempotency key with the same body joins the generation it elected, running or ended."""
    asked = opening(idempotency_key="once", body_hash="h")
    assert await ledger.begin(asked) == Opened()
    assert await ledger.begin(opening(idempotency_key="once", body_hash="h")) == Joined(generation_id=asked.id)
    await ledger.settle(settlement(asked.id))
    assert await ledger.begin(opening(idempotency_key="once", body_hash="h")) == Joined(generation_id=asked.id)
    assert await ledger.find_joined(SCOPE, "once", "h") == Joined(generation_id=asked.id)
    assert await ledger.find_joined(SCOPE, "another", "h") is None


async def test_another_body_is_refused(ledger: Ledger) -> None:
    """The same idempotency key with another body is an error, looked up or opened."""
    await begun(ledger, idempotency_key="once", body_hash="h")
    for refused in (
        ledger.begin(opening(idempotency_key="once", body_hash="other")),
        ledger.find_joined(SCOPE, "once", "other"),
    ):
        with pytest.raises(RequestError) as error:
            await refused
        assert (error.value.status, error.value.code) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("scope", [Scope(key_id="k2"), Scope(key_id="k1", user="ann"), Scope()])
async def test_an_idempotency_key_is_its_holder_s(ledger: Ledger, scope: Scope) -> None:
    """The same idempotency key from another key or user is another one."""
    await begun(ledger, idempotency_key="once", body_hash="h")
    assert await ledger.find_joined(scope, "once", "h") is None
    assert await ledger.begin(opening(scope=scope, idempotency_key="once", body_hash="h")) == Opened()


async def test_a_settlement_can_free_the_key(ledger: Ledger) -> None:
    """A generation that failed before any content gives its idempotency key back."""
    opened = await begun(ledger, idempotency_key="once", body_hash="h")
    await ledger.settle(settlement(opened, status="failed", output_tokens=0, frees_idempotency_key=True))
    assert await ledger.find_joined(SCOPE, "once", "h") is None
    assert await ledger.begin(opening(idempotency_key="once", body_hash="other")) == Opened()


async def test_a_joined_request_skips_limits_and_session(ledger: Ledger) -> None:
    """Who joins is not refused for the budget or the session that the first one fills."""
    spends = {"reserved": 9, "budget": Budget(amount=10, period="total"), "session_id": "s"}
    first = await begun(ledger, idempotency_key="once", body_hash="h", **spends)
    second = opening(idempotency_key="once", body_hash="h", **spends)
    assert await ledger.begin(second) == Joined(generation_id=first)


@pytest.mark.parametrize("period", ["day", "month", "total"])
async def test_a_budget_counts_what_is_spent_and_reserved(ledger: Ledger, period: str) -> None:
    """A generation begins only if what is settled, what is reserved and its own reservation fit into the budget."""
    budget = Budget(amount=100, period=period)  # type: ignore[arg-type]
    first = await begun(ledger, reserved=60, budget=budget)
    with pytest.raises(RequestError) as error:
        await ledger.begin(opening(reserved=41, budget=budget))
    assert (error.value.status, error.value.code) == (429, "budget_exceeded")
    assert error.value.headers == {"x-should-retry": "false"}
    second = await begun(ledger, reserved=40, budget=budget)
    assert await ledger.spent("k1", budget) == 100
    await ledger.settle(settlement(first, cost=5))
    await ledger.settle(settlement(second, cost=None))
    assert await ledger.spent("k1", budget) == 5
    await begun(ledger, scope=Scope(key_id="k1", user="ann"), reserved=95, budget=budget)
    assert await ledger.spent("k2", budget) == 0


async def test_a_budget_s_days_and_months_are_utc_s(ledger: Ledger) -> None:
    """What was opened in an earlier day or month counts there and no longer here, whenever it is settled."""
    last_year = time.time() - 366 * 86400
    opened = await begun(ledger, created_at=last_year)
    await ledger.settle(settlement(opened, cost=7))
    spent = [await ledger.spent("k1", Budget(amount=1, period=period)) for period in ("day", "month", "total")]
    assert spent == [0, 0, 7]


async def test_no_refusal_leaves_a_trace(ledger: Ledger) -> None:
    """An opening that is refused leaves no row, no reservation, no turn and no election."""
    budget = Budget(amount=10, period="total")
    refused = opening(reserved=11, budget=budget, session_id="s", idempotency_key="once", body_hash="h")
    with pytest.raises(RequestError):
        await ledger.begin(refused)
    assert (await ledger.rows(Scope(), limit=5)).items == ()
    assert await ledger.spent("k1", budget) == 0
    assert await ledger.find_joined(SCOPE, "once", "h") is None
    assert (await ledger.sessions(SCOPE, limit=5)).items == ()


async def test_a_bill_goes_with_its_settlement(ledger: Ledger) -> None:
    """A settled row's bill is in the outbox, once."""
    opened = await begun(ledger)
    bill = Bill(customer="cus_1", meter="llm_tokens", value=30)
    assert await ledger.settle(settlement(opened, bill=bill))
    assert not await ledger.settle(settlement(opened, bill=bill))
    assert [parcel.bill for parcel in await ledger.due_parcels(limit=9)] == [bill]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_texts_that_no_database_holds_are_refused_by_name(ledger: Ledger, text: str) -> None:
    """A NUL or half a surrogate pair is the client's error, with its place, and never the database's."""
    for field in ("session_id", "idempotency_key", "model", "after"):
        with pytest.raises(RequestError) as error:
            await ledger.begin(opening(**{field: text}))
        assert (error.value.status, error.value.code, error.value.field) == (422, "invalid_text", field)
    assert await ledger.find_joined(SCOPE, text, "h") is None
    assert await ledger.find_key(text) is None
    assert await ledger.history(SCOPE, text) == []
    assert not await ledger.delete_session(SCOPE, text)
