"""The AI SDK itself reads what we write, and its own rules for a conversation are ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from tests.contracts.test_dialects import ANY_TEXT
from tests.dialects.ai_sdk.sdk import SDK, running_sdk
from tests.dialects.ai_sdk.test_body import FILE, PIXEL, STEP, assistant, call, conversation, user
from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import READERS, STREAM_ID, encode_all

from tailrace.dialects import AI_SDK
from tailrace.events import (
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.requests import Image, Message, Part, Reasoning, Text, ToolCall, ToolResult

pytestmark = pytest.mark.asyncio(loop_scope="module")

START = Started(model="gpt-4o", created_at=1_700_000_000.0)
USAGE = UsageReported(input_tokens=11, output_tokens=42, reasoning_tokens=7)
DONE = Finished(reason="stop")
expected = READERS["ai_sdk"].expected

PIECES = st.lists(ANY_TEXT, max_size=6)
KEYS = st.text().filter(lambda key: key not in ("__proto__", "constructor"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sdk() -> AsyncIterator[SDK]:
    async with running_sdk() as sdk:
        yield sdk


async def read(sdk: SDK, events: Sequence[Event]) -> Any:
    """What the client makes of the stream."""
    return await sdk.ask("read", stream=encode_all(AI_SDK, events).decode())


def cut(text: str, size: int) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)]


# Streams


@given(texts=PIECES, thoughts=PIECES)
async def test_any_text_comes_back_equal(sdk: SDK, texts: list[str], thoughts: list[str]) -> None:
    """Any text and any reasoning in any pieces is the message that the client shows, lone surrogates aside."""
    reasoning = [ReasoningDelta(text=piece) for piece in thoughts]
    found = await read(sdk, [START, *reasoning, *(TextDelta(text=piece) for piece in texts), USAGE, DONE])
    parts = {part["type"]: part for part in found["message"]["parts"]}
    assert parts.get("text", {"text": ""})["text"] == expected("".join(texts))
    assert parts.get("reasoning", {"text": ""})["text"] == expected("".join(thoughts))
    assert found["error"] is None


@given(inputs=st.lists(st.dictionaries(KEYS, JSON, max_size=3), min_size=1, max_size=3), size=st.integers(1, 9))
async def test_any_tool_input_comes_back_equal(sdk: SDK, inputs: list[dict[str, Any]], size: int) -> None:
    """Any inputs of calls at once, in pieces of any size, are what the client hands its tools."""
    begun = [ToolCallStarted(call=place, id=f"call_{place}", name="look") for place in range(len(inputs))]
    pieces = [
        ToolCallDelta(call=place, arguments=piece)
        for place, value in enumerate(inputs)
        for piece in cut(json.dumps(value, ensure_ascii=place % 2 == 0, indent=place or None), size)
    ]
    found = await read(sdk, [START, *begun, *pieces, USAGE, DONE])
    calls = found["message"]["parts"][1:]
    assert [part["state"] for part in calls] == ["input-available"] * len(inputs)
    assert [part["input"] for part in calls] == inputs
    assert found["error"] is None


@given(arguments=ANY_TEXT | st.sampled_from(['{"__proto__":{"a":1}}', '[{"constructor":{"prototype":{}}}]']))
async def test_no_input_breaks_the_stream(sdk: SDK, arguments: str) -> None:
    """Whatever a model writes as an input, the client's stream goes on to its end."""
    call = ToolCallStarted(call=0, id="call_1", name="look")
    found = await read(sdk, [START, call, ToolCallDelta(call=0, arguments=arguments), TextDelta(text="."), USAGE, DONE])
    assert found["error"] is None
    assert found["chunks"][-1]["type"] == "finish"


@pytest.mark.parametrize("ids", [["", "__proto__", "constructor", "a\u2028b"]])
async def test_any_name_of_a_call(sdk: SDK, ids: list[str]) -> None:
    """Ids and names of calls are only text, whatever they look like."""
    calls = [ToolCallStarted(call=place, id=call_id, name=call_id or "a") for place, call_id in enumerate(ids)]
    pieces = [ToolCallDelta(call=place, arguments='{"a":1}') for place in range(len(ids))]
    found = await read(sdk, [START, *calls, *pieces, USAGE, DONE])
    assert [part["toolCallId"] for part in found["message"]["parts"][1:]] == ids
    assert all(part["state"] == "input-available" for part in found["message"]["parts"][1:])


async def test_the_whole_answer_is_the_message_of_the_stream(sdk: SDK) -> None:
    """Asked for without a stream, the message is the one that the client would have put together."""
    found = await read(sdk, WHOLE)
    whole = json.loads(AI_SDK.whole(STREAM_ID, WHOLE))
    assert whole["metadata"].pop("finishReason") == found["chunks"][-1]["finishReason"]
    assert {name: value for name, value in found["message"].items() if value is not None} == whole


async def test_a_failure_is_an_error(sdk: SDK) -> None:
    """The client is told of a failure, keeps what came before it, and is told of no finish."""
    found = await read(sdk, BROKEN)
    assert found["error"] == "the upstream broke off"
    assert found["message"]["parts"][-1] == {"type": "text", "text": "Hel", "state": "done"}
    assert "finish" not in [chunk["type"] for chunk in found["chunks"]]


async def test_an_abort_is_no_error(sdk: SDK) -> None:
    """An answer that was stopped ends as the SDK's own does."""
    found = await read(sdk, [START, TextDelta(text="a"), Failed(code="cancelled", message="the stream was cancelled")])
    assert found["error"] is None
    assert found["chunks"][-1] == {"type": "abort", "reason": "the stream was cancelled"}


# Conversations

FOUND = call("output-available", output={"seen": True})
CONVERSATIONS = [
    [user("Hi", FILE), assistant(STEP, "Hello")],
    [{"id": "s", "role": "system", "parts": [{"type": "text", "text": "Be brief."}]}, user()],
    [user(), assistant(STEP, {"type": "reasoning", "text": "Hm."}, "I look.", FOUND, STEP, "There.")],
    [user(), assistant(FOUND, {**FOUND, "toolCallId": "c2", "output": "text"}, "after")],
    [user(), assistant(STEP, call("output-error", errorText="no eyes"), STEP, "Sorry.")],
    [user(), assistant(STEP, call("output-denied", approval={"id": "p", "approved": False, "reason": "No!"}))],
    [user(), assistant({**FOUND, "type": "dynamic-tool", "toolName": "find"})],
    [user(), assistant(call("input-streaming"), "a"), user()],
    [user(), assistant(call("approval-requested", approval={"id": "p"}), "a"), user()],
    [user(), assistant("a", {"type": "steering-message", "id": "s", "parts": [{"type": "text", "text": "!"}]}, "b")],
    [user({"type": "data-x", "data": 1}, "Hi"), assistant("a", {"type": "data-x", "data": 1}, "b")],
    [user(), assistant({"type": "source-url", "sourceId": "1", "url": "https://example.org"}, "a")],
]


@pytest.mark.parametrize("messages", CONVERSATIONS)
async def test_conversations_are_converted_as_the_sdk_does(sdk: SDK, messages: list[Any]) -> None:
    """What a model is asked is what the SDK's own server would have asked it."""
    theirs = await sdk.ask("convert", messages=messages)
    assert [turn for message in theirs for turn in write(message)] == [show(turn) for turn in conversation(*messages)]


def write(message: Any) -> list[Any]:
    """One of the SDK's model messages in plain values, each tool's result as a message of its own."""
    content = message["content"]
    if isinstance(content, str):
        return [(message["role"], [("text", content)])]
    parts = [write_part(part) for part in content if not part["type"].startswith("tool-approval")]
    if message["role"] == "tool":
        return [("tool", [part]) for part in parts]
    return [(message["role"], parts)]


def write_part(part: Any) -> Any:
    match part:
        case {"type": "text" | "reasoning" as kind, "text": text}:
            return (kind, text)
        case {"type": "file", "data": {"url": url}}:
            return ("image", url)
        case {"type": "tool-call"}:
            return ("call", part["toolCallId"], part["toolName"], part["input"])
        case {"type": "tool-result", "output": {"type": kind, "value": value}}:
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            return ("result", part["toolCallId"], text, kind.startswith("error"))
        case _:
            raise AssertionError(part)


def show(message: Message) -> Any:
    """Ours in the same plain values."""
    return (message.role, [show_part(part) for part in message.parts])


def show_part(part: Part) -> Any:
    match part:
        case Text(text=text):
            return ("text", text)
        case Reasoning(text=text):
            return ("reasoning", text)
        case Image():
            return ("image", PIXEL)
        case ToolCall():
            return ("call", part.id, part.name, json.loads(part.arguments))
        case ToolResult(content=(Text(text=text),)):
            return ("result", part.id, text, part.is_error)
        case _:
            raise AssertionError(part)
