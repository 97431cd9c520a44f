"""The vendors and servers that have a preset: what each is sent, and what each says, read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.providers.reading import NOW, ask, read_whole, recorded, written

from tailrace.events import Event, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStarted, UsageReported
from tailrace.providers.base import Finish
from tailrace.providers.openai.body import write_request
from tailrace.providers.openai.chunks import OpenAIReader
from tailrace.providers.openai.vendors import fit
from tailrace.requests import ChatRequest, Message, ResponseFormat, Text, ToolCall, ToolResult, user_message

GEMINI = "generativelanguage.googleapis.com"
MISTRAL = "api.mistral.ai"
OTHERS = ("api.deepseek.com", "api.groq.com", "openrouter.ai", "api.x.ai", "127.0.0.1")
SKIP = {"google": {"thought_signature": "skip_thought_signature_validator"}}


def write(request: ChatRequest, host: str) -> Any:
    return written(write_request(request, host=host))


def events_of(recording: str) -> tuple[list[Event], Finish | None]:
    reading = read_whole(lambda: OpenAIReader(model="m", now=NOW, nonce="n"), recorded(recording))
    return reading.events, reading.finish


def used(recording: str) -> UsageReported:
    """The last that the recording says of its tokens."""
    return [event for event in events_of(recording)[0] if isinstance(event, UsageReported)][-1]


# What they say


@pytest.mark.parametrize(
    ("recording", "reasoning_tokens"),
    [
        ("groq_reasoning.sse", 5),
        ("lmstudio_reasoning.sse", 5),
        ("llamacpp_reasoning.sse", None),
        ("mistral_thinking.sse", None),
        ("openrouter_reasoning.sse", 6),
        ("vllm_reasoning.sse", None),
    ],
)
def test_reasoning(recording: str, reasoning_tokens: int | None) -> None:
    """Whatever the vendor calls it, reasoning is reasoning, and comes once; the usage is found."""
    events, finish = events_of(recording)
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "Two and two."
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Four."
    assert finish == Finish(reason="stop", native="stop")
    assert used(recording) == UsageReported(
        input_tokens=14,
        output_tokens=9,
        reasoning_tokens=reasoning_tokens,
        cached_input_tokens=used(recording).cached_input_tokens,
    )


def test_tokens_that_completion_tokens_leave_out() -> None:
    """xAI's and Gemini's reasoning is in the total alone, and counts as output: it is paid for."""
    assert used("xai_reasoning.sse") == UsageReported(
        input_tokens=14, output_tokens=43, reasoning_tokens=41, cached_input_tokens=4
    )
    assert used("gemini_tools.sse") == UsageReported(input_tokens=76, output_tokens=113)


@pytest.mark.parametrize(
    ("recording", "ids", "native"),
    [
        ("gemini_tools.sse", ["function-call-1138", "function-call-1139"], "stop"),
        ("mistral_tools.sse", ["D681PevKs", "x9RvTq2Lm"], "tool_calls"),
    ],
)
def test_calls_at_once(recording: str, ids: list[str], native: str) -> None:
    """Two calls of one tool are two, numbered by the vendor or not, and the answer ends with calls."""
    events, finish = events_of(recording)
    assert [event.id for event in events if isinstance(event, ToolCallStarted)] == ids
    arguments = [json.loads(event.arguments) for event in events if isinstance(event, ToolCallDelta)]
    assert arguments == [{"city": "Bern"}, {"city": "Lima"}]
    assert finish == Finish(reason="tool_calls", native=native)


# What they are sent

CALLED = ChatRequest(
    model="m",
    messages=(
        user_message("Hi"),
        Message(
            role="assistant",
            parts=(
                ToolCall(id="call_qPYUVAwKAb9xzFDU", name="f", arguments="{}"),
                ToolCall(id="D681PevKs", name="g", arguments="{}"),
            ),
        ),
        Message(role="tool", parts=(ToolResult(id="call_qPYUVAwKAb9xzFDU", content=(Text(text="a"),)),)),
        Message(role="tool", parts=(ToolResult(id="D681PevKs", content=(Text(text="b"),)),)),
    ),
    seed=7,
    max_tokens=5,
)


def test_mistral() -> None:
    """It is asked for no usage, gets its own name of the seed, and ids of nine letters that still belong together."""
    body = write(CALLED, MISTRAL)
    assert "stream_options" not in body
    assert "seed" not in body
    assert (body["random_seed"], body["max_tokens"]) == (7, 5)
    made = [call["id"] for call in body["messages"][1]["tool_calls"]]
    assert [turn["tool_call_id"] for turn in body["messages"][2:]] == made
    assert made[1] == "D681PevKs"
    assert len(made[0]) == 9
    assert made[0].isalnum()


def test_gemini() -> None:
    """The first of the calls made at once has the word in place of the signature that no client can keep."""
    body = write(CALLED, GEMINI)
    first, second = body["messages"][1]["tool_calls"]
    assert first["extra_content"] == SKIP
    assert "extra_content" not in second
    assert body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("host", OTHERS)
def test_others(host: str) -> None:
    """All others get what any server gets."""
    assert write(CALLED, host) == write(CALLED, "example.com")


def test_a_clients_own_words() -> None:
    """Messages that a client wrote itself change where the vendor would refuse them, and nowhere else."""
    plain = msgspec.Raw(b'{"role":"user", "content":"Hi"}')
    signed = {"role": "assistant", "tool_calls": [{"id": "x", "extra_content": {"google": {"thought_signature": "s"}}}]}
    calls = msgspec.Raw(b'{"role":"assistant","tool_calls":[{"id":"call_1"}],"reasoning":"Hm."}')
    body = {"model": "m", "messages": [plain, msgspec.Raw(json.dumps(signed).encode()), calls]}
    kept, first, second = fit(body, GEMINI)["messages"]
    assert kept is plain
    assert first == signed
    assert second["tool_calls"] == [{"id": "call_1", "extra_content": SKIP}]
    assert second["reasoning"] == "Hm."
    assert body["messages"][2] is calls
    assert fit({**body, "max_completion_tokens": 5}, MISTRAL)["max_tokens"] == 5


@pytest.mark.parametrize(
    ("host", "model", "sent"),
    [
        ("api.openai.com", "gpt-4o-mini", False),
        ("x.openai.azure.com", "gpt-4.1", False),
        ("api.openai.com", "gpt-5.1", True),
        ("api.groq.com", "qwen/qwen3-32b", True),
    ],
)
def test_no_effort(host: str, model: str, sent: bool) -> None:
    """Not to reason is not asked of OpenAI's models that never do, because they refuse the word."""
    assert ("reasoning_effort" in write(ChatRequest(model=model, messages=(), reasoning_effort="none"), host)) is sent


def test_a_schemas_description() -> None:
    """What a schema is for goes with it."""
    wanted = ResponseFormat(name="a", description="Why.", schema={"type": "object"})
    body = write(ask(response_format=wanted), "example.com")
    assert body["response_format"]["json_schema"] == {"name": "a", "description": "Why.", "schema": {"type": "object"}}
