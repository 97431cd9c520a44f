"""Conversations with an upstream that speaks OpenAI's Responses too: its own items go back to it, just as they came."""

from __future__ import annotations

from typing import Any

import pytest
from tests.reader import Reader
from tests.tap import Tap
from tests.upstream import in_turn
from tests.web.relayed import items_of, recording, relaying, respond, sent_to
from tests.web.responding import ALL, error_of

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_three_turns() -> None:
    """Who goes on from a response has its items sent back just as they came, with the upstream's own names."""
    async with relaying(in_turn(recording("tools"), recording("search"), recording("text"))) as (house, upstream):
        first = await respond(house)
        calls = [item for item in first["output"] if item["type"] == "function_call"]
        outputs = [{"type": "function_call_output", "call_id": call["call_id"], "output": "ok"} for call in calls]
        second = await respond(house, input=outputs, previous_response_id=first["id"])
        await respond(house, input="And?", previous_response_id=second["id"])
        asked = sent_to(upstream)
    assert "previous_response_id" not in asked
    assert second["previous_response_id"] == first["id"]
    hi = {"role": "user", "content": "Hi"}
    expected = [hi, *items_of("tools"), *outputs, *items_of("search"), {"role": "user", "content": "And?"}]
    assert asked["input"] == expected


async def test_three_turns_by_reference() -> None:
    """So it is for who sends the names of items; what the upstream did itself has one too."""
    async with relaying(in_turn(recording("search"), recording("text"))) as (house, upstream):
        told: list[Any] = [{"role": "user", "content": "Hi"}]
        expected: list[Any] = [*told]
        for name in ("search", "text", "text"):
            output = (await respond(house, input=told))["output"]
            assert sent_to(upstream)["input"] == expected
            told += [{"type": "item_reference", "id": item["id"]} for item in output]
            told.append({"role": "user", "content": name})
            expected += [*items_of(name), {"role": "user", "content": name}]
        unknown = told[1]["id"] + "x"
        refused = await house.ask("POST", ALL, {"input": [{"type": "item_reference", "id": unknown}]})
        assert error_of(refused) == (404, "item_not_found", "input[0]")


async def test_three_turns_in_full() -> None:
    """Items that are sent back in full are sent on in full, by the upstream's names, stored or not."""
    for store in (True, False):
        async with relaying(in_turn(recording("tools"), recording("text"))) as (house, upstream):
            output = (await respond(house, store=store))["output"]
            outputs = [
                {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
                for item in output
                if item["type"] == "function_call"
            ]
            await respond(house, input=[*output, *outputs], store=store)
            assert sent_to(upstream)["input"] == [*items_of("tools"), *outputs]


async def test_going_on_elsewhere() -> None:
    """An upstream of another format is told what was said, and one of this format what the other said."""
    tap = Tap()
    async with relaying(recording("search"), tap=tap) as (house, upstream), Reader(house.url) as reader:
        first = await respond(house)
        await reader.ask("POST", ALL, {"model": "tap", "input": "b", "previous_response_id": first["id"]})
        run = await tap.asked()
        assert [message.role for message in run.request.messages] == ["user", "assistant", "user"]
        assert run.request.messages[1].text == first["output"][-1]["content"][0]["text"]
        run.say("Tapped.")
        run.finish()
        second = (await reader.whole()).json()
        await respond(house, input="c", previous_response_id=second["id"])
        said = [item for item in sent_to(upstream)["input"] if item.get("role") == "assistant"]
    assert said[-1] == {"role": "assistant", "content": "Tapped."}


async def test_input_items() -> None:
    """The conversation that a response answers is listed with the names by which its items are found."""
    async with relaying(recording("search")) as (house, _):
        first = await respond(house)
        second = await respond(house, input="b", previous_response_id=first["id"])
        listed = (await house.ask("GET", f"{ALL}/{second['id']}/input_items?order=asc")).json()["data"]
    assert [item["id"] for item in listed[1:-1]] == [item["id"] for item in first["output"]]
