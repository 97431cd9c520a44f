"""What is read of a Runnable's chunks."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.runnables import (
    RunnableLambda,
)
from tests.providers.langchain.runnables import asked, run, scripted

from tailrace.errors import UpstreamError
from tailrace.events import (
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.providers.base import Finish


async def test_tool_call_chunks() -> None:
    """Tool calls come in pieces, two side by side, and the end is "tool_calls"."""
    heard, finish = await run(
        scripted(
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="look", args="", id="a", index=0)]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args='{"q":', index=0)]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="see", args="{}", id="b", index=1)]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args="1}", index=0)]),
        )
    )
    assert heard.content == [
        ToolCallStarted(call=0, id="a", name="look"),
        ToolCallDelta(call=0, arguments='{"q":'),
        ToolCallStarted(call=1, id="b", name="see"),
        ToolCallDelta(call=1, arguments="{}"),
        ToolCallDelta(call=0, arguments="1}"),
    ]
    assert finish.reason == "tool_calls"


async def test_tool_calls_without_index_or_id() -> None:
    """Without an index a name begins a call, a nameless piece goes on with the last; a missing id is made up."""
    heard, _ = await run(
        scripted(
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="look", args="{")]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args="}")]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="look", args="{}")]),
        )
    )
    assert [event.id for event in heard.content if isinstance(event, ToolCallStarted)] == ["call_0", "call_1"]
    assert [event.call for event in heard.content if isinstance(event, ToolCallDelta)] == [0, 0, 1]


async def test_whole_tool_calls() -> None:
    """A message that comes whole has its calls read too, arguments as JSON."""
    message = AIMessage("", tool_calls=[{"name": "look", "args": {"q": "x"}, "id": "a"}])
    heard, finish = await run(RunnableLambda(lambda _: message))
    assert heard.content[-1] == ToolCallDelta(call=0, arguments='{"q":"x"}')
    assert finish.reason == "tool_calls"


async def test_content_blocks() -> None:
    """Reasoning with its signature, refusals, and blocks that have no event of their own are all kept."""
    heard, _ = await run(
        scripted(
            AIMessageChunk(content=[{"type": "reasoning", "reasoning": "hm"}]),
            AIMessageChunk(content=[{"type": "reasoning", "extras": {"signature": "sig"}}]),
            AIMessageChunk(
                content=[{"type": "thinking", "thinking": "so", "signature": "s2"}, {"type": "text", "text": "hi"}]
            ),
            AIMessageChunk(content="", additional_kwargs={"reasoning_content": "aha"}),
            AIMessageChunk(content=[{"type": "refusal", "refusal": "no"}]),
            AIMessageChunk(content=[{"type": "image", "url": "https://example.org/a.png"}]),
        )
    )
    assert heard.content[:-1] == [
        ReasoningDelta(text="hm"),
        ReasoningDelta(text="", signature="sig"),
        ReasoningDelta(text="so", signature="s2"),
        TextDelta(text="hi"),
        ReasoningDelta(text="aha"),
        RefusalDelta(text="no"),
    ]
    assert isinstance(heard.content[-1], Opaque)
    assert heard.content[-1].kind == "langchain.image"


async def test_usage_sums_up() -> None:
    """The shares that integrations spread over chunks add up, details included."""
    heard, _ = await run(
        scripted(
            AIMessageChunk(
                content="a",
                usage_metadata=UsageMetadata(
                    input_tokens=10,
                    output_tokens=0,
                    total_tokens=10,
                    input_token_details=InputTokenDetails(cache_read=4),
                ),
            ),
            AIMessageChunk(
                content="",
                usage_metadata=UsageMetadata(
                    input_tokens=0,
                    output_tokens=7,
                    total_tokens=7,
                    output_token_details=OutputTokenDetails(reasoning=2),
                ),
            ),
        )
    )
    usages = [event for event in heard.events if isinstance(event, UsageReported)]
    assert usages[-1] == UsageReported(
        input_tokens=10, output_tokens=7, reasoning_tokens=2, cached_input_tokens=4, source="reported"
    )


@pytest.mark.parametrize(
    ("metadata", "finish"),
    [
        ({"finish_reason": "length"}, Finish(reason="length", native="length")),
        ({"stop_reason": "end_turn"}, Finish(reason="stop", native="end_turn")),
        (
            {"stop_reason": "stop_sequence", "stop_sequence": "END"},
            Finish(reason="stop", native="stop_sequence", stop_sequence="END"),
        ),
        ({"done_reason": "stop"}, Finish(reason="stop", native="stop")),
        ({"finish_reason": "MAX_TOKENS"}, Finish(reason="length", native="MAX_TOKENS")),
        ({"finish_reason": "SAFETY"}, Finish(reason="content_filter", native="SAFETY")),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            Finish(reason="length", native="max_output_tokens"),
        ),
        ({"finish_reason": "something new"}, Finish(reason="stop", native="something new")),
    ],
)
async def test_finish_reasons(metadata: dict[str, Any], finish: Finish) -> None:
    """Each vendor's word for the end is understood, and handed on."""
    _, ended = await run(scripted(AIMessageChunk(content="hi"), AIMessageChunk(content="", response_metadata=metadata)))
    assert ended == finish


async def test_a_model_that_ends_in_error() -> None:
    """A finish reason that means failure is no finish."""
    with pytest.raises(UpstreamError, match="malformed_function_call"):
        await run(scripted(AIMessageChunk(content="", response_metadata={"finish_reason": "MALFORMED_FUNCTION_CALL"})))


async def test_the_model_names_itself() -> None:
    """`Started` has the name that the first chunk gives, else the one that was asked for."""
    heard, _ = await run(scripted(AIMessageChunk(content="hi", response_metadata={"model_name": "gpt-x-2"})))
    assert isinstance(heard.events[0], Started)
    assert heard.events[0].model == "gpt-x-2"
    heard, _ = await run(scripted(AIMessageChunk(content="hi")), asked(model="gpt-x"))
    assert isinstance(heard.events[0], Started)
    assert heard.events[0].model == "gpt-x"
