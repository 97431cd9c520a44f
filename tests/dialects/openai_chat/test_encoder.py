"""OpenAI's chat completions, byte for byte, and against the types of its official client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from openai import BaseModel
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.contracts.test_dialects import logs
from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import DELTA, OPENAI_CHAT, OPENAI_CHAT_USAGE, Dialect, choose_variant, list_models
from tailrace.errors import RequestError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    Opaque,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.sse import Decoder

SAME = (
    '{"id":"chatcmpl-0123456789abcdef01234567","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o",'
)
CALLS = '"tool_calls":[{"index":0,'

WHOLE_STREAM = """\
id: ID.2
data: SAME"choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"Hm."},"finish_reason":null}]}

id: ID.4
data: SAME"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}

id: ID.5
data: SAME"choices":[{"index":0,"delta":{"content":"lo \\"you\\"\\n"},"finish_reason":null}]}

id: ID.7
data: SAME"choices":[{"index":0,"delta":{"refusal":"No."},"finish_reason":null}]}

id: ID.8
data: SAME"choices":[{"index":0,"delta":{CALLS"id":"call_1","type":"function",\
"function":{"name":"look","arguments":""}}]},"finish_reason":null}]}

id: ID.9
data: SAME"choices":[{"index":0,"delta":{CALLS"function":{"arguments":"{\\"at\\":"}}]},"finish_reason":null}]}

id: ID.10
data: SAME"choices":[{"index":0,"delta":{CALLS"function":{"arguments":"\\"it\\"}"}}]},"finish_reason":null}]}

id: ID.12.1
data: SAME"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

id: ID.12
data: [DONE]

"""

USAGE_STREAM = """\
id: ID.2
data: SAME"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}],"usage":null}

id: ID.3
data: SAME"choices":[{"index":0,"delta":{"content":"!"},"finish_reason":null}],"usage":null}

id: ID.5.1
data: SAME"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

id: ID.5.2
data: SAME"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":42,"total_tokens":53,\
"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":7}}}

id: ID.5
data: [DONE]

"""

BROKEN_STREAM = """\
id: ID.2
data: SAME"choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}

id: ID.4
data: {"error":{"message":"the upstream broke off","type":"server_error","param":null,"code":"upstream_cut"}}

"""

START = Started(model="gpt-4o", created_at=1_700_000_000.5)
DONE = Finished(reason="stop")
USED: list[Event] = [
    START,
    TextDelta(text="Hi"),
    TextDelta(text="!"),
    UsageReported(input_tokens=11, output_tokens=42, reasoning_tokens=7, cached_input_tokens=3),
    DONE,
]


def written(template: str) -> bytes:
    return template.replace("ID", STREAM_ID).replace("SAME", SAME).replace("CALLS", CALLS).encode()


def payloads(dialect: Dialect, events: Sequence[Event]) -> list[Any]:
    """The data of a stream's frames, without `[DONE]`."""
    found = [frame.data for frame in Decoder().feed(encode_all(dialect, events))]
    return [json.loads(data) for data in found if data != "[DONE]"]


def deltas(*events: Event) -> list[Any]:
    """What the events add to the answer, chunk by chunk."""
    return [chunk["choices"][0]["delta"] for chunk in payloads(OPENAI_CHAT, [START, *events])]


def folded(*events: Event) -> Any:
    """The whole answer made of the events."""
    return json.loads(OPENAI_CHAT.whole(STREAM_ID, [START, *events, DONE]))


def strangers(value: object, path: str = "") -> set[str]:
    """The places of all fields in a parsed answer that the client's types do not know."""
    match value:
        case BaseModel():
            inner = {f"{path}.{name}": getattr(value, name) for name in type(value).model_fields}
            extra = {f"{path}.{name}" for name in value.model_extra or ()}
            return extra.union(*(strangers(item, place) for place, item in inner.items()))
        case list():
            return set[str]().union(*(strangers(item, path) for item in value))
        case _:
            return set()


# Streams


def test_whole_answer() -> None:
    """Each kind of event is a chunk with the same id, time and model; the first has the role, the last the reason."""
    assert encode_all(OPENAI_CHAT, WHOLE) == written(WHOLE_STREAM)


def test_usage_where_it_was_asked_for() -> None:
    """With usage each chunk has `usage: null`, but for one more before the end, which has no choices."""
    assert encode_all(OPENAI_CHAT_USAGE, USED) == written(USAGE_STREAM)


def test_failure() -> None:
    """A failure is one error object, and neither a finish reason nor [DONE] follows."""
    assert encode_all(OPENAI_CHAT, BROKEN) == written(BROKEN_STREAM)


def test_an_unknown_count_is_no_number() -> None:
    """Usage that nobody counted is null, never zero."""
    events: list[Event] = [START, UsageReported(output_tokens=1, source="estimated"), DONE]
    assert payloads(OPENAI_CHAT_USAGE, events)[-1]["usage"] is None
    assert json.loads(OPENAI_CHAT.whole(STREAM_ID, events))["usage"] is None


def test_the_role_comes_with_whatever_is_first() -> None:
    """The first chunk says the role, be it text, a refusal or a tool call; an empty answer has empty text."""
    call = ToolCallStarted(call=0, id="call_1", name="look")
    assert deltas(TextDelta(text="a"), TextDelta(text="b")) == [{"role": "assistant", "content": "a"}, {"content": "b"}]
    assert deltas(RefusalDelta(text="No.")) == [{"role": "assistant", "refusal": "No."}]
    assert deltas(call)[0].keys() == {"role", "tool_calls"}
    assert deltas(DONE) == [{"role": "assistant", "content": ""}]


def test_any_name_of_a_model() -> None:
    """A model's name is only text, whatever it looks like."""
    events: list[Event] = [Started(model='%d "%b', created_at=0), TextDelta(text="a"), TextDelta(text="%d"), DONE]
    chunks = payloads(OPENAI_CHAT_USAGE, events)
    assert {chunk["model"] for chunk in chunks} == {'%d "%b'}
    assert chunks[1]["choices"][0]["delta"] == {"content": "%d"}


def test_choices_are_kept_apart() -> None:
    """Each choice has its index, its role and its finish."""
    texts = [TextDelta(text="a"), TextDelta(text="b", choice=1), TextDelta(text="c")]
    events: list[Event] = [START, *texts, Finished(reason="length")]
    found = [choice for chunk in payloads(OPENAI_CHAT, events) for choice in chunk["choices"]]
    assert [(choice["index"], choice["delta"].get("content")) for choice in found] == [
        (0, "a"),
        (1, "b"),
        (0, "c"),
        (0, None),
        (1, None),
    ]
    assert ["role" in choice["delta"] for choice in found] == [True, True, False, False, False]
    assert [choice["finish_reason"] for choice in found] == [None, None, None, "length", "length"]
    whole = json.loads(OPENAI_CHAT.whole(STREAM_ID, events))
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["ac", "b"]


def test_what_else_an_openai_upstream_says() -> None:
    """Log probabilities stand beside the delta, annotations and audio in it; other vendors' own are not shown."""
    entry = {"token": "a", "bytes": [97], "logprob": -0.25, "top_logprobs": []}
    probable = Opaque(kind="logprobs", json=json.dumps({"content": [entry], "refusal": None}))
    cited = Opaque(kind="annotations", json='[{"type":"url_citation"}]')
    events = (TextDelta(text="a"), probable, cited, probable, Opaque(kind="thinking_block", json="{}"))
    chunks = payloads(OPENAI_CHAT, [START, *events])
    assert len(chunks) == 4
    assert chunks[1]["choices"][0]["logprobs"] == {"content": [entry], "refusal": None}
    assert chunks[2]["choices"][0]["delta"] == {"annotations": [{"type": "url_citation"}]}
    [choice] = folded(*events)["choices"]
    assert choice["logprobs"] == {"content": [entry, entry], "refusal": None}
    assert choice["message"]["annotations"] == [{"type": "url_citation"}]


@given(events=logs())
def test_chunks_are_of_the_clients_types(events: list[Event]) -> None:
    """Every chunk of any log is one by the official client's own types, with one field that they do not know."""
    for dialect in (OPENAI_CHAT, OPENAI_CHAT_USAGE):
        chunks = [data for data in payloads(dialect, events) if "error" not in data]
        read = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in chunks]
        assert len({(chunk.id, chunk.created, chunk.model) for chunk in read}) <= 1
        assert set[str]().union(*map(strangers, read)) <= {".choices.delta.reasoning_content"}


# Whole answers


def test_whole_document() -> None:
    """The whole answer is one completion: text, refusal, reasoning and tool calls each in their field."""
    assert json.loads(OPENAI_CHAT.whole(STREAM_ID, WHOLE)) == {
        "id": "chatcmpl-0123456789abcdef01234567",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": 'Hello "you"\n',
                    "refusal": "No.",
                    "reasoning_content": "Hm.",
                    "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"it"}'}}
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 11,
            "completion_tokens": 42,
            "total_tokens": 53,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
    }


def test_content_is_null_beside_a_call() -> None:
    """An answer that only calls tools, or only refuses, has no content; one that says nothing has empty content."""
    call = ToolCallStarted(call=0, id="call_1", name="look")
    assert folded(call, ToolCallDelta(call=0, arguments="{}"))["choices"][0]["message"]["content"] is None
    assert folded(RefusalDelta(text="No."))["choices"][0]["message"]["content"] is None
    assert folded()["choices"][0]["message"]["content"] == ""


@given(events=logs())
def test_whole_answers_are_of_the_clients_types(events: list[Event]) -> None:
    """The whole answer of any log is a completion by the official client's own types."""
    whole = OPENAI_CHAT.whole(STREAM_ID, [*events[:-1], DONE])
    read = ChatCompletion.model_validate_json(whole, strict=True)
    assert strangers(read) <= {".choices.message.reasoning_content"}


# Errors and models


@pytest.mark.parametrize(
    ("status", "code", "type_", "told"),
    [
        (400, "invalid_type", "invalid_request_error", "invalid_type"),
        (401, "unauthorized", "invalid_request_error", "invalid_api_key"),
        (403, "model_not_allowed", "invalid_request_error", "model_not_allowed"),
        (404, "model_not_found", "invalid_request_error", "model_not_found"),
        (429, "rate_limited", "rate_limit_error", "rate_limit_exceeded"),
        (429, "too_many_streams", "rate_limit_error", "rate_limit_exceeded"),
        (429, "budget_exceeded", "insufficient_quota", "insufficient_quota"),
        (503, "draining", "server_error", "draining"),
    ],
)
def test_errors(status: int, code: str, type_: str, told: str) -> None:
    """An error has OpenAI's type for its status, and OpenAI's code where there is one; a failure has the same."""
    media_type, body = OPENAI_CHAT.refusal(RequestError(status, code, "No.", field="messages.0.content.1.text"), "r")
    error = {"message": "No.", "type": type_, "param": "messages[0].content[1].text", "code": told}
    assert (media_type, json.loads(body)) == ("application/json", {"error": error})
    media_type, body = OPENAI_CHAT.failure(Failed(code=code, message="No.", status=status), [], "r")
    assert (media_type, json.loads(body)) == ("application/json", {"error": {**error, "param": None}})


def test_models() -> None:
    """The list of models is as the official client reads it, each owned by its provider."""
    listed = json.loads(list_models(["fast", "openai/gpt-4o"], 1_700_000_000))
    read = [Model.model_validate(model, strict=True) for model in listed.pop("data")]
    assert listed == {"object": "list"}
    assert [(model.id, model.owned_by) for model in read] == [("fast", "tailrace"), ("openai/gpt-4o", "openai")]
    assert strangers(read) == set()


def test_variants() -> None:
    """A body or a log may name a variant of its endpoint's format, and no other format."""
    assert choose_variant(OPENAI_CHAT, "openai_chat_usage") is OPENAI_CHAT_USAGE
    assert choose_variant(OPENAI_CHAT, "openai_chat") is OPENAI_CHAT
    assert choose_variant(OPENAI_CHAT, "raw") is OPENAI_CHAT
    assert choose_variant(DELTA, "openai_chat_usage") is DELTA
    assert choose_variant(OPENAI_CHAT, None) is OPENAI_CHAT
