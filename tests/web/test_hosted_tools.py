"""What an upstream of OpenAI's did itself goes back with the reasoning that led to it, or neither does.

Its rule: https://platform.openai.com/docs/guides/reasoning#keeping-reasoning-items-in-context. Reasoning without the
item that followed it is refused, and where nothing is stored so is reasoning without its cipher.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from tests.upstream import Script, Step, chunk, chunked_head, in_turn
from tests.web.relayed import ask, events_of, name_of, recording, relaying, respond, sent_to

pytestmark = pytest.mark.usefixtures("no_leaks")

AND: Final = {"role": "user", "content": "And?"}
HI: Final = {"role": "user", "content": "Hi"}


def thought(name: str, **more: Any) -> dict[str, Any]:
    """Reasoning, with its cipher unless said otherwise."""
    return {"id": f"rs_{name}", "type": "reasoning", "summary": [], "encrypted_content": f"c-{name}", **more}


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


SEARCHED: Final = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "mills"},
}
HOSTED: Final[list[dict[str, Any]]] = [
    thought("1"),
    SEARCHED,
    thought("2"),
    {"id": "fs_1", "type": "file_search_call", "status": "completed", "queries": ["mills"], "results": None},
    {"id": "ci_1", "type": "code_interpreter_call", "status": "completed", "code": "6*7", "container_id": "cntr_1"},
    {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "mill", "tools": []},
    thought("3"),
    {"id": "mcp_1", "type": "mcp_call", "server_label": "mill", "name": "grind", "arguments": "{}", "output": "ground"},
    thought("4"),
    said("Mills grind."),
]


def event(kind: str, number: int, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **fields})}\n\n".encode()


def items_done(output: list[dict[str, Any]]) -> bytes:
    """The events of these items, one after the other."""
    told = b""
    for place, item in enumerate(output):
        told += event(
            "response.output_item.added", 2 * place, output_index=place, item={**item, "status": "in_progress"}
        )
        told += event("response.output_item.done", 2 * place + 1, output_index=place, item=item)
    return told


def streamed(*output: dict[str, Any], status: str = "completed", **more: Any) -> Script:
    """A response with this output."""
    response = {"id": "resp_1", "object": "response", "model": "m", "status": status, "output": list(output), **more}
    return events_of(items_done(list(output)) + event(f"response.{status}", 99, response=response))


async def test_all_of_it_goes_back() -> None:
    """Who goes on from a stored response has every tool's item sent back, behind the reasoning that led to it."""
    async with relaying(in_turn(streamed(*HOSTED), recording("text"))) as (house, upstream):
        first = await respond(house)
        await respond(house, input="And?", previous_response_id=first["id"])
        asked = sent_to(upstream)
    assert asked["input"] == [HI, *HOSTED, AND]
    assert asked["store"] is False


async def test_a_tool_that_the_client_runs() -> None:
    """A call that only this format knows is answered with what only this format knows."""
    call = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_1", "name": "grind", "input": "wheat"}
    output = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "flour"}
    async with relaying(in_turn(streamed(thought("1"), call), recording("text"))) as (house, upstream):
        first = await respond(house)
        await respond(house, input=[output], previous_response_id=first["id"])
        assert sent_to(upstream)["input"] == [HI, thought("1"), call, output]


@pytest.mark.parametrize(
    ("output", "goes_back"),
    [
        ([thought("1"), SEARCHED, thought("2")], [thought("1"), SEARCHED]),
        ([thought("1")], []),
        ([thought("1", encrypted_content=None), said("Mills.")], [said("Mills.")]),
        ([thought("1", encrypted_content=None, content=[{"type": "reasoning_text", "text": "Hm."}]), said("Mills.")],)
        * 2,
    ],
    ids=["cut while it thought", "thought alone", "without a cipher", "in clear"],
)
async def test_reasoning_that_would_be_refused(output: list[dict[str, Any]], goes_back: list[dict[str, Any]]) -> None:
    """Reasoning that nothing came of, or that no server could read, stays here; all else goes back as it came."""
    why = {"reason": "max_output_tokens"}
    script = streamed(*output, status="incomplete", incomplete_details=why)
    async with relaying(in_turn(script, recording("text"))) as (house, upstream):
        first = await respond(house)
        assert [item["type"] for item in first["output"]] == [item["type"] for item in output]
        await respond(house, input="And?", previous_response_id=first["id"])
        assert sent_to(upstream)["input"] == [HI, *goes_back, AND]


@pytest.mark.parametrize("kept", ["a conversation", "an answer that was cut"])
async def test_where_it_has_no_part(kept: str) -> None:
    """Where only what every upstream understands is kept, the reasoning that led to a tool stays away with its item."""
    whole = streamed(*HOSTED)
    cut: Script = [chunked_head(content_type="text/event-stream"), chunk(items_done(HOSTED)), Step.RESET]
    fields = {"conversation": "tea"} if kept == "a conversation" else {}
    script = whole if fields else cut
    async with relaying(in_turn(script, recording("text"))) as (house, upstream):
        first = await ask(house, **fields)
        await respond(house, input="And?", **(fields or {"previous_response_id": name_of(first)}))
        asked = sent_to(upstream)["input"]
    spoken = {"role": "assistant", "content": "Mills grind."}
    assert asked == [HI, thought("4"), spoken, AND]
