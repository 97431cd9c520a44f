"""Attempts that came to nothing after they had reported usage: the row's cost has what they cost."""

from __future__ import annotations

from typing import Final

import pytest
from tests.gateway import IN, OUT, Gateway, gateway
from tests.reader import Reader
from tests.tap import Tap

from tailrace.errors import UpstreamError
from tailrace.events import UsageReported
from tailrace.generation import generation as module
from tailrace.ledger import Row
from tailrace.settings import ModelSettings, Price

pytestmark = pytest.mark.usefixtures("no_leaks")

LOST: Final = UsageReported(input_tokens=100, output_tokens=3)
SAID: Final = UsageReported(input_tokens=7, output_tokens=2)
PASSING: Final = UpstreamError("upstream_error", "busy")
DEAR: Final = ModelSettings(provider="dear", price=Price(input=50, output=200), fallback=("priced",))
LOSS: Final = (100 * 50 + 3 * 200) * 10**6
COST: Final = 7 * IN + 2 * OUT


async def ask(house: Gateway, dear: Tap, lost: UsageReported = LOST, **flags: str) -> Row:
    """The row of an answer of `priced`, after `dear` has reported so much and failed."""
    async with Reader(house.url) as reader:
        await reader.ask(
            "POST", "/v1/chat/stream", {"message": "Hi", "model": "dear"}, headers=await house.key(**flags)
        )
        first = await dear.asked()
        first.say(lost)
        first.fail(PASSING)
        second = await house.tap.asked()
        second.say("Hi", SAID)
        second.finish()
        answer = await reader.whole()
    assert answer.objects[-1]["usage"] == {"input_tokens": 7, "output_tokens": 2, "source": "reported"}
    return await house.settled_row()


async def test_a_fallbacks_row() -> None:
    """The tokens and the price are those of the model that answered; the cost holds both, each at its own price."""
    dear = Tap(name="dear")
    async with gateway(dear, models={"dear": DEAR}) as house:
        row = await ask(house, dear)
        assert (row.provider, row.model, row.input_tokens, row.output_tokens) == ("tap", "priced", 7, 2)
        assert row.price is not None
        assert (row.price.input, row.price.output) == (IN, OUT)
        assert row.cost == COST + LOSS


async def test_a_budget_pays_for_it() -> None:
    """What was lost is spent: it is taken off the key's budget with the rest."""
    dear = Tap(name="dear")
    async with gateway(dear, models={"dear": DEAR}) as house:
        await ask(house, dear, budget_usd="1")
        assert house.execute("SELECT settled, reserved FROM spend WHERE period = 'total'") == [(COST + LOSS, 0)]


async def test_a_budget_that_was_lost() -> None:
    """What is left of the budget after a loss is what the fallback may use: here, nothing."""
    dear = Tap(name="dear")
    async with gateway(dear, models={"dear": DEAR}) as house, Reader(house.url) as reader:
        key = await house.key(budget_usd="0.0056")  # just what is lost
        await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": "dear"}, headers=key)
        first = await dear.asked()
        first.say(LOST)
        first.fail(PASSING)
        (await house.tap.asked()).say("Hi")
        assert (await reader.whole()).json()["code"] == "budget_exceeded"


@pytest.mark.parametrize("lost", [UsageReported(input_tokens=0, output_tokens=0), UsageReported()])
async def test_nothing_reported(lost: UsageReported) -> None:
    """An attempt that reported nothing, or that it was nothing, costs nothing, even where it has no price."""
    dear = Tap(name="dear")
    async with gateway(dear, models={"dear": ModelSettings(provider="dear", fallback=("priced",))}) as house:
        assert (await ask(house, dear, lost)).cost == COST


async def test_a_loss_without_a_price() -> None:
    """What nobody knows the price of makes the cost unknown, never smaller than it was."""
    dear = Tap(name="dear")
    async with gateway(dear, models={"dear": ModelSettings(provider="dear", fallback=("priced",))}) as house:
        row = await ask(house, dear)
        assert (row.cost, row.input_tokens, row.output_tokens) == (None, 7, 2)


async def test_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial of one model counts by itself, one that ends the answer with its failure too."""
    monkeypatch.setattr(module, "_BACKOFF_S", 0.01)
    async with gateway(stream={"retries": 2}) as house, Reader(house.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": "priced"}, headers=await house.key())
        for trial in range(3):
            run = await house.tap.asked(trial + 1)
            run.say(UsageReported(input_tokens=10 + trial))
            run.fail(PASSING)
        await reader.whole()
        row = await house.settled_row()
    assert (row.status, row.input_tokens, row.output_tokens) == ("failed", 12, 0)
    assert row.cost == (10 + 11 + 12) * IN
