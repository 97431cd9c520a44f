"""Anthropic's whole messages, how they end, what they used, and what goes wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message, ModelInfo
from hypothesis import given
from tests.contracts.test_dialects import logs
from tests.dialects.answers import WHOLE
from tests.dialects.anthropic.answering import DONE, START, folded, payloads, strangers
from tests.dialects.reading import STREAM_ID

from tailrace.dialects import ANTHROPIC, list_anthropic_models
from tailrace.errors import RequestError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    FinishReason,
    Opaque,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)

# Whole answers


def test_whole_document() -> None:
    """The whole answer is one message with a block for each thing."""
    assert json.loads(ANTHROPIC.whole(STREAM_ID, WHOLE)) == {
        "id": "msg_0123456789abcdef01234567",
        "type": "message",
        "role": "assistant",
        "model": "gpt-4o",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "text", "text": 'Hello "you"\nNo.'},
            {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "it"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 42, "output_tokens_details": {"thinking_tokens": 7}},
    }


@given(events=logs())
def test_whole_answers_are_of_the_clients_type(events: list[Event]) -> None:
    """The whole answer of any log is a message by the client's own type, with no field that it does not know."""
    assert not strangers(Message.model_validate_json(ANTHROPIC.whole(STREAM_ID, [*events[:-1], DONE])))


def test_numbers_in_arguments_stay_as_they_are() -> None:
    """Arguments are handed on as they were written, to the last digit."""
    call = ToolCallStarted(call=0, id="a", name="n")
    whole = ANTHROPIC.whole(STREAM_ID, [START, call, ToolCallDelta(call=0, arguments='{"a": 1.50, "b": 1e400}'), DONE])
    assert b'"input":{"a": 1.50, "b": 1e400}' in whole


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        ("  ", {}),
        ('{"a":', {"INVALID_JSON": '{"a":'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ('{"a":"\ud83d"}', {"a": "\ufffd"}),
    ],
)
def test_arguments_that_are_no_object(arguments: str, expected: object) -> None:
    """The format has objects alone: arguments that are none stand in one, and none at all are an empty one."""
    call = ToolCallStarted(call=0, id="a", name="n")
    [block] = folded(call, ToolCallDelta(call=0, arguments=arguments), DONE)["content"]
    assert block["input"] == expected


def test_what_anthropics_upstreams_say_besides() -> None:
    """Blocks without events of their own, and citations, are in the whole answer too."""
    hidden = '{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"ZA=="}}'
    search = '{"type":"content_block_start","content_block":{"type":"server_tool_use","id":"s","input":{}}}'
    query = '{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{\\"q\\":1}"}}'
    cited = '{"type":"content_block_delta","delta":{"type":"citations_delta","citation":{"type":"page_location"}}}'
    stop = '{"type":"content_block_stop"}'
    message = folded(
        Opaque(kind="redacted_thinking", json=hidden),
        Opaque(kind="redacted_thinking", json=stop),
        Opaque(kind="server_tool_use", json=search),
        Opaque(kind="server_tool_use", json=query),
        Opaque(kind="server_tool_use", json=stop),
        TextDelta(text="High."),
        Opaque(kind="citations_delta", json=cited),
        DONE,
    )
    assert message["content"] == [
        {"type": "redacted_thinking", "data": "ZA=="},
        {"type": "server_tool_use", "id": "s", "input": {"q": 1}},
        {"type": "text", "text": "High.", "citations": [{"type": "page_location"}]},
    ]


# Ends and usage


@pytest.mark.parametrize(
    ("reason", "native", "stop_sequence", "expected"),
    [
        ("stop", None, None, "end_turn"),
        ("stop", "stop", None, "end_turn"),
        ("stop", None, "###", "stop_sequence"),
        ("stop", "stop_sequence", "###", "stop_sequence"),
        ("stop", "pause_turn", None, "pause_turn"),
        ("length", "length", None, "max_tokens"),
        ("length", "model_context_window_exceeded", None, "model_context_window_exceeded"),
        ("tool_calls", "tool_calls", None, "tool_use"),
        ("content_filter", "content_filter", None, "refusal"),
    ],
)
def test_stop_reasons(reason: FinishReason, native: str | None, stop_sequence: str | None, expected: str) -> None:
    """Anthropic's own word where an upstream of its said one, else the one for the common reason."""
    finished = Finished(reason=reason, native=native, stop_sequence=stop_sequence)
    message = folded(TextDelta(text="Hi"), finished)
    assert (message["stop_reason"], message["stop_sequence"]) == (expected, stop_sequence)
    ending = payloads([START, finished])[-2]["delta"]
    assert ending == {"stop_reason": expected, "stop_sequence": stop_sequence}


def test_a_refusal_ends_as_one() -> None:
    """OpenAI's upstreams say `stop` where the model said no; this format has a word for it."""
    events: list[Event] = [START, RefusalDelta(text="No."), DONE]
    assert folded(*events[1:])["stop_reason"] == payloads(events)[-2]["delta"]["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (UsageReported(), {"input_tokens": 0, "output_tokens": 0}),
        (UsageReported(input_tokens=5, output_tokens=6), {"input_tokens": 5, "output_tokens": 6}),
        (
            UsageReported(input_tokens=100, cached_input_tokens=80, output_tokens=6, reasoning_tokens=2),
            {
                "input_tokens": 20,
                "cache_read_input_tokens": 80,
                "output_tokens": 6,
                "output_tokens_details": {"thinking_tokens": 2},
            },
        ),
    ],
)
def test_usage(usage: UsageReported, expected: dict[str, Any]) -> None:
    """Tokens that were read from a cache are not among the others, as Anthropic counts."""
    assert folded(TextDelta(text="Hi"), usage, DONE)["usage"] == expected
    assert payloads([START, TextDelta(text="Hi"), usage, DONE])[-2]["usage"] == expected


# Errors


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_json", "invalid_request_error"),
        (401, "unauthorized", "authentication_error"),
        (403, "model_not_allowed", "permission_error"),
        (404, "model_not_found", "not_found_error"),
        (409, "session_busy", "conflict_error"),
        (413, "too_large", "request_too_large"),
        (415, "unsupported_media_type", "invalid_request_error"),
        (429, "rate_limited", "rate_limit_error"),
        (429, "budget_exceeded", "billing_error"),
        (500, "internal", "api_error"),
        (503, "provider_off", "api_error"),
        (529, "upstream_error", "overloaded_error"),
    ],
)
def test_refusals(status: int, code: str, kind: str) -> None:
    """A refusal is Anthropic's error object, of the type that stands for its status; the place comes first."""
    media_type, body = ANTHROPIC.refusal(RequestError(status, code, "No.", field="messages"), "req_1")
    error = {"type": kind, "message": "messages: No."}
    assert media_type == "application/json"
    assert json.loads(body) == {"type": "error", "error": error, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "upstream_refused", "invalid_request_error"),
        (429, "upstream_refused", "rate_limit_error"),
        (502, "upstream_auth", "api_error"),
        (502, "upstream_cut", "api_error"),
        (529, "upstream_error", "overloaded_error"),
        (504, "idle_timeout", "timeout_error"),
        (409, "cancelled", "api_error"),
        (429, "budget_exceeded", "billing_error"),
        (401, "key_revoked", "authentication_error"),
        (503, "draining", "overloaded_error"),
        (500, "internal", "api_error"),
    ],
)
def test_failures(status: int, code: str, kind: str) -> None:
    """A failure has the same types, over HTTP and in a stream."""
    failed = Failed(code=code, message="No.", status=status)
    error = {"type": "error", "error": {"type": kind, "message": "No."}}
    assert json.loads(ANTHROPIC.failure(failed, [], "req_1")[1]) == {**error, "request_id": "req_1"}
    assert payloads([failed]) == [error]


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("messages[3].content", "messages"),
        ("stop", "stop_sequences"),
        ("reasoning_effort", "output_config.effort"),
        ("response_format.json_schema", "output_config.format"),
        ("parallel_tool_calls", "tool_choice.disable_parallel_tool_use"),
        ("tools.0.strict", "tools.0.strict"),
    ],
)
def test_a_place_that_an_upstream_blames(field: str, place: str) -> None:
    """It comes before the words by this format's own name; where turns have other numbers it is told without."""
    failed = Failed(code="unsupported", message="No.", status=400, field=field)
    assert json.loads(ANTHROPIC.failure(failed, [], "req_1")[1])["error"]["message"] == f"{place}: No."


# Models


def test_models() -> None:
    """The list is one page by the client's own type."""
    listed = json.loads(list_anthropic_models(["simulated", "a/b"]))
    models = [ModelInfo.model_validate(model) for model in listed.pop("data")]
    assert [(model.id, model.created_at.timestamp()) for model in models] == [("simulated", 0), ("a/b", 0)]
    assert listed == {"has_more": False, "first_id": "simulated", "last_id": "a/b"}
    assert json.loads(list_anthropic_models([])) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
