"""Budgets: what needs a price, what is refused before it is asked, and what ends a stream that runs."""

from __future__ import annotations

from typing import Final

import pytest
from tests.gateway import IN, OUT, STREAM, gateway, refusal
from tests.reader import Reader

from tailrace.events import UsageReported
from tailrace.settings import ModelSettings, Price, SessionSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

HI: Final = {"message": "Hi"}


async def test_a_budget_needs_a_price() -> None:
    """A key with a budget may not use a model without a price, nor one with such a fallback; others may."""
    backed = ModelSettings(provider="tap", price=Price(input=1, output=1), fallback=("tap",))
    async with gateway(models={"backed": backed}) as house:
        key = await house.key(budget_usd="5")
        for model in ("tap", "backed"):
            answer = await house.ask("POST", STREAM, {**HI, "model": model}, headers=key)
            assert refusal(answer) == (403, "model_without_price")
            assert "the model tap has no price; set one in [models]" in answer.json()["detail"]
        assert (await house.say("x", key=key, model="priced")).status == 200
        assert (await house.say("x", key=await house.key())).status == 200
        assert len(house.tap.runs) == 2


@pytest.mark.parametrize("period", ["", "/day", "/month"])
async def test_an_exhausted_budget(period: str) -> None:
    """A key that has spent its budget is refused with 429 and told not to retry; nothing is asked for it."""
    async with gateway() as house:
        key = await house.key(budget_usd=f"0.005{period}")
        for _ in range(5):
            usage = UsageReported(input_tokens=0, output_tokens=100)
            assert (await house.say("x", key=key, model="priced", usage=usage)).status == 200
        answer = await house.ask("POST", STREAM, {**HI, "model": "priced"}, headers=key)
        assert refusal(answer) == (429, "budget_exceeded")
        assert answer.headers["x-should-retry"] == "false"
        assert len(house.tap.runs) == 5


async def test_a_budget_begins_anew_with_its_period() -> None:
    """What was spent on an earlier day counts against the month and in all, not against today."""
    async with gateway() as house:
        key = await house.key(budget_usd="0.001/day")
        usage = UsageReported(input_tokens=0, output_tokens=100)
        await house.say("x", key=key, model="priced", usage=usage)
        assert refusal(await house.ask("POST", STREAM, {**HI, "model": "priced"}, headers=key))[0] == 429
        house.execute("UPDATE spend SET starts = '2001-01-01' WHERE period = 'day'")
        assert (await house.say("x", key=key, model="priced")).status == 200


async def test_a_budget_that_runs_out_in_mid_stream() -> None:
    """The stream ends with `budget_exceeded`, the upstream is closed, and the row has the cost of what was said."""
    async with gateway() as house, Reader(house.url) as reader:
        key = await house.key(budget_usd="0.0001")  # ten tokens out, less the input
        run = await house.begin(reader, key=key, model="priced")
        for _ in range(20):
            run.say(" so")
        answer = await reader.whole()
        assert (answer.status, answer.objects[-1]["code"]) == (200, "budget_exceeded")
        assert run.over
        row = await house.settled_row()
        assert (row.status, row.reason, row.source) == ("failed", "budget_exceeded", "counted")
        assert answer.text == " so" * 9  # the tenth came, and was too much
        assert (row.output_tokens, row.delivered_tokens) == (10, 9)
        assert row.cost == (row.input_tokens or 0) * IN + 10 * OUT
        assert 10**8 < row.cost <= 10**8 + OUT


async def test_a_budget_that_runs_out_in_fat_deltas() -> None:
    """An upstream that sends sentences is stopped by their length, soon after the budget has run out."""
    async with gateway() as house, Reader(house.url) as reader:
        key = await house.key(budget_usd="0.0005")  # fifty tokens out, less the input
        run = await house.begin(reader, key=key, model="priced")
        for _ in range(20):
            run.say(" Rivers meander because the water carries silt away.")
        assert (await reader.whole()).objects[-1]["code"] == "budget_exceeded"
        row = await house.settled_row()
        assert row.cost is not None
        assert row.cost <= 1.3 * 5 * 10**8


async def test_an_input_that_is_too_dear_is_not_sent() -> None:
    """What the budget does not reach for even without an answer is refused before the upstream is asked."""
    async with gateway() as house:
        key = await house.key(budget_usd="0.0001")
        answer = await house.ask("POST", STREAM, {"message": "long " * 200, "model": "priced"}, headers=key)
        assert refusal(answer) == (429, "budget_exceeded")
        assert not house.tap.runs


async def test_a_conversation_that_is_too_dear_is_not_sent() -> None:
    """The history counts too: a session that has grown beyond the budget is refused, its row closed at no cost."""
    async with gateway(sessions=SessionSettings(history_tokens=10**6)) as house:
        plain = await house.key()
        await house.say("long " * 200, key=plain, session_id="s")
        key = await house.key(budget_usd="0.0001")
        house.execute("UPDATE sessions SET key_id = ?", house.key_ids[key["x-api-key"]])
        answer = await house.ask("POST", STREAM, {**HI, "model": "priced", "session_id": "s"}, headers=key)
        assert refusal(answer) == (429, "budget_exceeded")
        row = (await house.settled(2))[1]
        assert (row.status, row.reason, row.cost, row.output_tokens) == ("failed", "budget_exceeded", 0, 0)
        assert house.execute("SELECT reserved FROM spend WHERE period = 'total' AND key_id = ?", row.scope.key_id) == [
            (0,)
        ]


async def test_who_reads_an_end_may_spend_what_was_reserved() -> None:
    """The reservation of an answer is gone when its end is read: the next request is never refused for it."""
    async with gateway() as house:
        key = await house.key(budget_usd="0.01")  # an answer reserves all of it
        usage = UsageReported(input_tokens=1, output_tokens=1)
        for _ in range(30):
            assert (await house.say("x", key=key, model="priced", usage=usage)).status == 200


async def test_running_streams_hold_their_reservations() -> None:
    """While a stream that has reserved the whole budget runs, another is refused."""
    async with gateway() as house, Reader(house.url) as reader:
        key = await house.key(budget_usd="0.01")
        run = await house.begin(reader, key=key, model="priced")
        answer = await house.ask("POST", STREAM, {**HI, "model": "priced"}, headers=key)
        assert refusal(answer) == (429, "budget_exceeded")
        run.finish()
        await reader.whole()
