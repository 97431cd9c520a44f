"""The AI SDK's UI message stream, byte for byte, and the whole message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import AI_SDK, AI_SDK_CONTINUED, DELTA, Dialect, choose_variant
from tailrace.errors import RequestError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    FinishReason,
    Opaque,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.sse import Decoder

WHOLE_STREAM = """\
id: ID.1.1
data: {"type":"start","messageId":"ID"}

id: ID.1
data: {"type":"start-step"}

id: ID.2.1
data: {"type":"reasoning-start","id":"1"}

id: ID.2
data: {"type":"reasoning-delta","id":"1","delta":"Hm."}

id: ID.3
data: {"type":"reasoning-end","id":"1","providerMetadata":{"anthropic":{"signature":"c2ln"}}}

id: ID.4.1
data: {"type":"text-start","id":"2"}

id: ID.4
data: {"type":"text-delta","id":"2","delta":"Hel"}

id: ID.5
data: {"type":"text-delta","id":"2","delta":"lo \\"you\\"\\n"}

id: ID.7
data: {"type":"text-delta","id":"2","delta":"No."}

id: ID.8.1
data: {"type":"text-end","id":"2"}

id: ID.8
data: {"type":"tool-input-start","toolCallId":"call_1","toolName":"look"}

id: ID.9
data: {"type":"tool-input-delta","toolCallId":"call_1","inputTextDelta":"{\\"at\\":"}

id: ID.10
data: {"type":"tool-input-delta","toolCallId":"call_1","inputTextDelta":"\\"it\\"}"}

id: ID.12.1
data: {"type":"tool-input-available","toolCallId":"call_1","toolName":"look","input":{"at":"it"}}

id: ID.12.2
data: {"type":"finish-step"}

id: ID.12.3
data: {"type":"finish","finishReason":"tool-calls","messageMetadata":{"model":"gpt-4o","usage":\
{"inputTokens":11,"outputTokens":42,"outputTokenDetails":{"reasoningTokens":7},"totalTokens":53,"source":"reported"}}}

id: ID.12
data: [DONE]

"""

BROKEN_STREAM = """\
id: ID.1.1
data: {"type":"start","messageId":"ID"}

id: ID.1
data: {"type":"start-step"}

id: ID.2.1
data: {"type":"text-start","id":"1"}

id: ID.2
data: {"type":"text-delta","id":"1","delta":"Hel"}

id: ID.4.1
data: {"type":"text-end","id":"1"}

id: ID.4
data: {"type":"error","errorText":"the upstream broke off"}

"""

START = Started(model="gpt-4o", created_at=1_700_000_000.0)
CALL = ToolCallStarted(call=0, id="call_1", name="look")
DONE = Finished(reason="stop")


def chunks(*events: Event, dialect: Dialect = AI_SDK) -> list[Any]:
    """The data of the frames that the events make, without `[DONE]`."""
    found = Decoder().feed(encode_all(dialect, events))
    return [json.loads(frame.data) for frame in found if frame.data != "[DONE]"]


def types(*events: Event) -> list[str]:
    return [chunk["type"] for chunk in chunks(*events)]


def message(*events: Event) -> Any:
    """The whole message made of the events."""
    return json.loads(AI_SDK.whole(STREAM_ID, [START, *events, DONE]))


def test_whole_answer() -> None:
    """Each kind of event is a chunk of the SDK's: parts open and close, a step is one answer, [DONE] is the end."""
    assert encode_all(AI_SDK, WHOLE) == WHOLE_STREAM.replace("ID", STREAM_ID).encode()


def test_failure() -> None:
    """What is open is closed before an error, and neither `finish` nor [DONE] follows."""
    assert encode_all(AI_SDK, BROKEN) == BROKEN_STREAM.replace("ID", STREAM_ID).encode()


def test_a_cancel_is_an_abort() -> None:
    """An answer that someone stopped ends with `abort`, at which the client stops without an error."""
    cancelled = Failed(code="cancelled", message="the stream was cancelled")
    told = chunks(START, TextDelta(text="a"), cancelled)
    assert told[-2:] == [{"type": "text-end", "id": "1"}, {"type": "abort", "reason": "the stream was cancelled"}]


def test_parts_follow_each_other() -> None:
    """Text, reasoning, a call and text again are parts of their own, none open beside another."""
    assert types(
        TextDelta(text="a"), ReasoningDelta(text="b"), ReasoningDelta(text="c"), CALL, TextDelta(text="d"), DONE
    ) == [
        *("text-start", "text-delta", "text-end"),
        *("reasoning-start", "reasoning-delta", "reasoning-delta", "reasoning-end"),
        *("tool-input-start", "text-start", "text-delta", "text-end"),
        *("tool-input-available", "finish-step", "finish"),
    ]
    assert [part["type"] for part in message(TextDelta(text="a"), ReasoningDelta(text="b"), CALL)["parts"]] == [
        "step-start",
        "text",
        "reasoning",
        "tool-look",
    ]


def test_each_signature_ends_a_part() -> None:
    """A signed piece of reasoning is a part with its signature, also where its text is not shown."""
    events = (ReasoningDelta(text="a", signature="s1"), ReasoningDelta(text="", signature="s2"), TextDelta(text="b"))
    signed = [chunk for chunk in chunks(*events) if "providerMetadata" in chunk]
    assert [(chunk["id"], chunk["providerMetadata"]["anthropic"]["signature"]) for chunk in signed] == [
        ("1", "s1"),
        ("2", "s2"),
    ]
    assert [(part.get("id"), part["text"]) for part in message(*events)["parts"][1:]] == [
        ("1", "a"),
        ("2", ""),
        (None, "b"),
    ]


def test_reasoning_that_is_not_shown() -> None:
    """What Anthropic thought and keeps to itself is a part too, so that it can be handed back; nothing else is."""
    block = '{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"c2ln"}}'
    events = (
        ReasoningDelta(text="a"),
        Opaque(kind="redacted_thinking", json=block),
        Opaque(kind="redacted_thinking", json='{"type":"content_block_stop","index":0}'),
        Opaque(kind="redacted_thinking", json="{"),
        Opaque(kind="citation", json="{}"),
        ReasoningDelta(text="b"),
    )
    metadata = {"anthropic": {"redactedData": "c2ln"}}
    assert chunks(*events)[2:6] == [
        {"type": "reasoning-end", "id": "1"},
        {"type": "reasoning-start", "id": "2", "providerMetadata": metadata},
        {"type": "reasoning-end", "id": "2"},
        {"type": "reasoning-start", "id": "3"},
    ]
    assert [(part["text"], part.get("providerMetadata")) for part in message(*events)["parts"][1:]] == [
        ("a", None),
        ("", metadata),
        ("b", None),
    ]


def test_a_signature_of_nothing_said() -> None:
    """An empty piece of reasoning without a signature is nothing."""
    assert types(ReasoningDelta(text="")) == []
    assert message(ReasoningDelta(text=""))["parts"] == [{"type": "step-start"}]


def test_parallel_calls() -> None:
    """Calls at once, their inputs in pieces between each other's, each whole at the end."""
    second = ToolCallStarted(call=1, id="call_2", name="go")
    pieces = [(0, '{"a":'), (1, '{"b":'), (0, "1}"), (1, "2}")]
    deltas = [ToolCallDelta(call=call, arguments=piece) for call, piece in pieces]
    made = [chunk for chunk in chunks(CALL, second, *deltas, DONE) if chunk["type"] == "tool-input-available"]
    assert [(chunk["toolCallId"], chunk["toolName"], chunk["input"]) for chunk in made] == [
        ("call_1", "look", {"a": 1}),
        ("call_2", "go", {"b": 2}),
    ]
    assert [part["input"] for part in message(CALL, second, *deltas)["parts"][1:]] == [{"a": 1}, {"b": 2}]


def test_a_call_without_arguments() -> None:
    """A call with nothing said has an empty input; a piece for a call that was never begun is not shown."""
    told = chunks(CALL, ToolCallDelta(call=7, arguments="{"), DONE)
    assert [chunk.get("input") for chunk in told] == [None, {}, None, None]


@pytest.mark.parametrize(
    "arguments",
    ['{"a":', "no", '{"a":NaN}', '{"__proto__":{}}', '{"__pro\\u0074o__":1}', '{"constructor":{"prototype":1}}'],
)
def test_an_input_that_is_no_json(arguments: str) -> None:
    """An input that is cut short, or that the SDK's parser would give up the stream at, is that tool's error."""
    delta = ToolCallDelta(call=0, arguments=arguments)
    [error] = [chunk for chunk in chunks(CALL, delta, DONE) if chunk["type"] == "tool-input-error"]
    assert (error["toolCallId"], error["input"]) == ("call_1", arguments)
    part = message(CALL, delta)["parts"][1]
    assert (part["state"], part["input"], part["errorText"]) == ("output-error", arguments, error["errorText"])


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ('{\n  "a": 1e400,\r\n  "b": 123456789012345678901234567890\n}', '{   "a": 1e400,    "b": 12'),
        ('"\\ud83d\u2028"', '"input":"\\ud83d\\u2028"'),
        ('{"constructor":1}', '"input":{"constructor":1}'),
        (' \t"\ud83d" ', '"input":"\ufffd"'),
    ],
)
def test_an_input_is_as_the_model_wrote_it(arguments: str, written: str) -> None:
    """The input keeps its numbers and escapes; what would break a frame is made harmless."""
    stream = encode_all(AI_SDK, [CALL, ToolCallDelta(call=0, arguments=arguments), DONE]).decode()
    assert written in stream.partition("tool-input-available")[2]


def test_deep_input() -> None:
    """An input nested beyond all reason is that tool's error, not ours."""
    delta = ToolCallDelta(call=0, arguments="[" * 100_000 + "]" * 100_000)
    assert "tool-input-error" in types(CALL, delta, DONE)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool-calls"),
        ("content_filter", "content-filter"),
    ],
)
def test_finish_reasons(reason: FinishReason, told: str) -> None:
    """The reasons are the SDK's own words."""
    assert chunks(Finished(reason=reason))[-1]["finishReason"] == told


def test_what_is_not_known_is_not_told() -> None:
    """Usage holds only what was counted."""
    events: list[Event] = [START, UsageReported(output_tokens=3, cached_input_tokens=0, source="estimated"), DONE]
    usage = {"inputTokenDetails": {"cacheReadTokens": 0}, "outputTokens": 3, "source": "estimated"}
    assert chunks(*events)[-1]["messageMetadata"] == {"model": "gpt-4o", "usage": usage}
    assert chunks(START, DONE)[-1]["messageMetadata"] == {"model": "gpt-4o"}


def test_a_message_that_goes_on_keeps_its_id() -> None:
    """The variant tells no id, so that the client goes on in the message that it has."""
    assert chunks(START, dialect=AI_SDK_CONTINUED)[0] == {"type": "start"}
    assert chunks(START)[0] == {"type": "start", "messageId": STREAM_ID}
    assert choose_variant(AI_SDK, "ai_sdk_continued") is AI_SDK_CONTINUED


def test_whole_message() -> None:
    """The whole answer is one UI message, its metadata with the finish reason."""
    assert json.loads(AI_SDK.whole(STREAM_ID, WHOLE)) == {
        "id": STREAM_ID,
        "role": "assistant",
        "metadata": {
            "model": "gpt-4o",
            "usage": {
                "inputTokens": 11,
                "outputTokens": 42,
                "outputTokenDetails": {"reasoningTokens": 7},
                "totalTokens": 53,
                "source": "reported",
            },
            "finishReason": "tool-calls",
        },
        "parts": [
            {"type": "step-start"},
            {
                "type": "reasoning",
                "id": "1",
                "text": "Hm.",
                "state": "done",
                "providerMetadata": {"anthropic": {"signature": "c2ln"}},
            },
            {"type": "text", "text": 'Hello "you"\nNo.', "state": "done"},
            {"type": "tool-look", "toolCallId": "call_1", "state": "input-available", "input": {"at": "it"}},
        ],
    }


def test_errors() -> None:
    """Before the stream an error is problem JSON, as on all of tailrace's own routes."""
    error = RequestError(422, "invalid_field", "No.", field="messages")
    assert AI_SDK.refusal(error, "req_1") == DELTA.refusal(error, "req_1")
    failed = Failed(code="upstream_cut", message="No.")
    assert AI_SDK.failure(failed, [failed], "req_1") == DELTA.failure(failed, [failed], "req_1")
