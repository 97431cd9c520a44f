"""The AI SDK's `createOpenAI` before an upstream that speaks the Responses API itself, whose events pass through."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tests.system.test_ai_sdk_responses import converse
from tests.system.test_responses_upstream import TEXT, House, house
from tests.web.relayed import items_of

pytestmark = pytest.mark.usefixtures("no_leaks")

MODEL: Final = "openai/gpt-5-mini"
PLACE: Final = {"type": "object", "properties": {"city": {"type": "string"}, "zone": {"type": "string"}}}


def asked_last(served: House) -> list[Any]:
    items: list[Any] = served.asked()[-1]["input"]
    return items


async def test_tools_by_reference() -> None:
    """What goes back by the name that we gave it, such as reasoning, is to the upstream its own item, unchanged."""
    async with house("tools", "text", "text") as served:
        tools = {"get_weather": PLACE, "get_time": PLACE}
        turns = await converse(f"{served.url}/v1", "Look!", "And?", model=MODEL, tools=tools, steps=3)
    assert [turn["error"] for turn in turns] == [None, None]
    assert [turn["text"] for turn in turns] == [TEXT, TEXT]
    assert turns[0]["reasoning"] == "**Two places**\n\nAsk for both.**Then**"
    assert [call["input"] for call in turns[0]["calls"]] == [{"city": "Bern"}, {"zone": "CET"}]
    first, second, third = (asked["input"] for asked in served.asked())
    thought, *calls = items_of("tools")
    assert second[: len(first) + 1] == [*first, thought]
    assert [item["call_id"] for item in second[len(first) + 1 :]] == [call["call_id"] for call in calls] * 2
    assert third[-2] == items_of("text")[0]


@pytest.mark.parametrize("store", [True, False])
async def test_a_search_in_the_conversation(store: bool) -> None:
    """What the upstream did itself is a part of the next turn: by its name, or left out where nothing is stored."""
    async with house("search", "text", "text") as served:
        options = {"providerOptions": {"openai": {"store": store}}}
        turns = await converse(f"{served.url}/v1", "Find!", "And?", "So?", model=MODEL, search=True, **options)
        assert [turn["error"] for turn in turns] == [None, None, None]
        assert turns[1]["text"] == turns[2]["text"] == TEXT
        asked = asked_last(served)
    if store:
        assert asked[1 : 1 + len(items_of("search"))] == items_of("search")
    assert [item["role"] for item in asked if item.get("role")] == ["user", "assistant"] * 2 + ["user"]
