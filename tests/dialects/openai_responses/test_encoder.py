"""OpenAI's responses, byte for byte, and against the types of its official client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from openai import BaseModel
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.contracts.test_dialects import logs
from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import OPENAI_RESPONSES
from tailrace.dialects.openai_responses import find_number, fold_response, prefix_of, read_response, write_terms
from tailrace.errors import RequestError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    FinishReason,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.generation.parts import parts_of
from tailrace.requests import Reasoning, Text
from tailrace.sse import Decoder

GOLDEN: Final = Path(__file__).parent / "golden"
EVENTS: Final[TypeAdapter[Any]] = TypeAdapter(ResponseStreamEvent)

START = Started(model="gpt-4o", created_at=1_700_000_000.5)
USED = UsageReported(input_tokens=11, output_tokens=42, reasoning_tokens=7, cached_input_tokens=3)
DONE = Finished(reason="stop", duration_ms=1500.0)
BODY: Final = {
    "model": "m",
    "input": "Hi",
    "instructions": "Be brief.",
    "metadata": {"k": "v"},
    "temperature": 0.5,
    "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}, {"type": "web_search"}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
    "reasoning": {"effort": "low"},
    "previous_response_id": "resp_x",
}


def terms_of(**fields: Any) -> Opaque:
    """The entry that says what was asked for."""
    return write_terms(read_response(json.dumps({**BODY, **fields}).encode()).to_terms(1_600_000_000.25))


def payloads(*events: Event) -> list[Any]:
    """The data of a stream's frames."""
    return [json.loads(frame.data) for frame in Decoder().feed(encode_all(OPENAI_RESPONSES, events))]


def kinds(*events: Event) -> list[str]:
    """The types of a stream's events, without `response.`."""
    return [payload["type"].removeprefix("response.") for payload in payloads(*events)]


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


@pytest.mark.parametrize(("name", "events"), [("whole", WHOLE), ("broken", BROKEN)])
def test_golden(name: str, events: list[Event]) -> None:
    """An answer with every kind of event, and one that broke off, are these bytes."""
    assert encode_all(OPENAI_RESPONSES, events) == (GOLDEN / f"{name}.sse").read_bytes()


@given(events=logs())
def test_numbers_are_dense(events: list[Event]) -> None:
    """Every event of every log has a number: from 0, one more each time; and its name is its type."""
    frames = Decoder().feed(encode_all(OPENAI_RESPONSES, events))
    told = [json.loads(frame.data) for frame in frames]
    assert [payload["sequence_number"] for payload in told] == list(range(len(told)))
    assert [payload["type"] for payload in told] == [frame.event for frame in frames]


@given(events=logs())
def test_every_number_has_its_place(events: list[Event]) -> None:
    """The place behind a number is that of its frame's id, and a number that is not there has none."""
    frames = Decoder().feed(encode_all(OPENAI_RESPONSES, events))
    for number, frame in enumerate(frames):
        _, seq, *k = frame.id.split(".")
        place = (int(seq) - 1, int(k[0])) if k else (int(seq), 0)
        assert find_number(STREAM_ID, events, number) == place
    assert find_number(STREAM_ID, events, len(frames)) is None


@given(events=logs())
def test_events_are_what_the_client_knows(events: list[Event]) -> None:
    """Every event validates as the client's own type, and has no field that it does not know but two of OpenAI's."""
    for payload in payloads(*events):
        event = EVENTS.validate_python(payload)
        assert strangers(event) <= {".response.store", ".error"}


@given(events=logs())
def test_the_end_holds_all_that_was_told(events: list[Event]) -> None:
    """What the items were when they were done is what the whole response has, and what GET has."""
    told = payloads(*events)
    done = {event["output_index"]: event["item"] for event in told if event["type"] == "response.output_item.done"}
    whole = told[-1]["response"]
    assert {place: whole["output"][place] for place in done} == done
    assert json.loads(OPENAI_RESPONSES.whole(STREAM_ID, events)) == whole


@given(events=logs())
def test_items_are_the_parts_of_the_kept_answer(events: list[Event]) -> None:
    """The n-th item of a kind is the n-th such part that a conversation keeps: so an item's id leads to it."""
    items = json.loads(OPENAI_RESPONSES.whole(STREAM_ID, events))["output"]
    parts = [part for part in parts_of(events) if prefix_of(part)]
    assert [item["id"].partition("_")[0] for item in items] == [prefix_of(part) for part in parts]
    for item, part in zip(items, parts, strict=True):
        if isinstance(part, Text):
            assert len("".join(piece.get("text", piece.get("refusal")) for piece in item["content"])) >= len(part.text)
        if isinstance(part, Reasoning):
            assert ("encrypted_content" in item) == (part.signature is not None)


# Calls, reasoning, annotations


def test_calls_stay_open_to_the_end() -> None:
    """The arguments of two calls may come by turns; each is done whole, in the order in which they began."""
    events: list[Event] = [
        START,
        ToolCallStarted(call=0, id="a", name="f"),
        ToolCallStarted(call=1, id="b", name="g"),
        ToolCallDelta(call=0, arguments="{"),
        ToolCallDelta(call=1, arguments="[1"),
        ToolCallDelta(call=0, arguments="}"),
        ToolCallDelta(call=1, arguments="]"),
        ToolCallDelta(call=7, arguments="of no call"),
        Finished(reason="tool_calls"),
    ]
    done = [event for event in payloads(*events) if event["type"] == "response.function_call_arguments.done"]
    assert [event["arguments"] for event in done] == ["{}", "[1]"]
    assert [item["call_id"] for item in fold_response(STREAM_ID, events)["output"]] == ["a", "b"]


def test_a_signature_ends_its_reasoning() -> None:
    """Each signed piece of reasoning is an item of its own, though nothing stands between them."""
    events: list[Event] = [
        START,
        ReasoningDelta(text="a"),
        ReasoningDelta(text="b", signature="s1"),
        ReasoningDelta(text="", signature="s2"),
        DONE,
    ]
    items = fold_response(STREAM_ID, events)["output"]
    assert [(item["summary"], item["encrypted_content"]) for item in items] == [
        ([{"type": "summary_text", "text": "ab"}], "s1"),
        ([], "s2"),
    ]


def test_reasoning_that_is_not_shown() -> None:
    """What Anthropic gives in reasoning's place is an item that goes back as what it was, whole or by its id."""
    block = {"type": "content_block_start", "content_block": {"type": "redacted_thinking", "data": "c2Vj"}}
    hidden = Opaque(kind="redacted_thinking", json=json.dumps(block))
    events: list[Event] = [START, ReasoningDelta(text="a"), hidden, TextDelta(text="b"), DONE]
    output = fold_response(STREAM_ID, events)["output"]
    assert [item["type"] for item in output] == ["reasoning", "reasoning", "message"]
    again = read_response(json.dumps({"input": output}).encode()).read_input({})
    assert (
        again[0].parts == parts_of(events) == (Reasoning(text="a"), Reasoning(text="", redacted="c2Vj"), Text(text="b"))
    )
    assert kinds(START, Opaque(kind="redacted_thinking", json="{}"), DONE) == ["created", "in_progress", "completed"]


def test_citations() -> None:
    """An OpenAI upstream's citations are the text's annotations, in the words of this format."""
    fields = {"start_index": 0, "end_index": 1, "title": "T", "url": "https://example.org"}
    cited = [{"type": "url_citation", "url_citation": fields}, {"type": "url_citation", **fields}]
    events: list[Event] = [START, TextDelta(text="a"), Opaque(kind="annotations", json=json.dumps(cited)), DONE]
    told = [event for event in payloads(*events) if event["type"] == "response.output_text.annotation.added"]
    assert [(event["annotation_index"], event["annotation"]) for event in told] == [
        (0, {"type": "url_citation", **fields}),
        (1, {"type": "url_citation", **fields}),
    ]
    assert len(fold_response(STREAM_ID, events)["output"][0]["content"][0]["annotations"]) == 2
    assert payloads(START, Opaque(kind="annotations", json=json.dumps(cited)), DONE)[-1]["response"]["output"] == []
    for untidy in ("", "{}", "[5]"):
        odd = fold_response(STREAM_ID, [START, TextDelta(text="a"), Opaque(kind="annotations", json=untidy), DONE])
        assert odd["output"][0]["content"][0]["annotations"] == []


def test_items_of_an_upstream_of_this_format() -> None:
    """What such an upstream did itself is an item among the others, as it told of it."""
    item = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    done = {"type": "response.output_item.done", "output_index": 7, "item": item}
    events: list[Event] = [
        START,
        TextDelta(text="a"),
        Opaque(kind="web_search_call", json=json.dumps(done)),
        TextDelta(text="b"),
        DONE,
    ]
    output = fold_response(STREAM_ID, events)["output"]
    assert [found["type"] for found in output] == ["message", "web_search_call", "message"]
    assert output[1] == item
    told = [event["output_index"] for event in payloads(*events) if event["type"] == "response.output_item.done"]
    assert told == [0, 1, 2]


def test_other_choices_are_left_out() -> None:
    """A response is one answer: of a log with several choices it is the first."""
    events: list[Event] = [START, TextDelta(text="a"), TextDelta(text="b", choice=1), TextDelta(text="c"), DONE]
    assert fold_response(STREAM_ID, events)["output"][0]["content"][0]["text"] == "ac"
    assert [event["delta"] for event in payloads(*events) if "delta" in event] == ["a", "c"]


# Ends


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_ends(reason: FinishReason, status: str, why: object) -> None:
    """Each finish reason has its status, and what was being said has it too."""
    told = payloads(START, ReasoningDelta(text="r"), TextDelta(text="a"), USED, Finished(reason=reason))
    response = told[-1]["response"]
    assert (told[-1]["type"], response["status"]) == (f"response.{status}", status)
    assert response["incomplete_details"] == why
    assert [item["status"] for item in response["output"]] == ["completed", status]
    assert response["usage"] == {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 42,
        "output_tokens_details": {"reasoning_tokens": 7},
        "total_tokens": 53,
    }


def test_an_empty_answer() -> None:
    """An answer without content is a whole response without output."""
    assert kinds(START, USED, DONE) == ["created", "in_progress", "completed"]
    assert kinds(Failed(code="upstream_cut", message="cut")) == ["created", "in_progress", "error", "failed"]


@pytest.mark.parametrize(
    ("failed", "status", "code"),
    [
        (Failed(code="upstream_cut", message="cut"), "failed", "server_error"),
        (Failed(code="upstream_refused", message="no", status=429), "failed", "rate_limit_exceeded"),
        (Failed(code="upstream_refused", message="no", status=400), "failed", "invalid_prompt"),
        (Failed(code="cancelled", message="stopped", status=409), "cancelled", None),
    ],
)
def test_failures(failed: Failed, status: str, code: str | None) -> None:
    """A failure is an error that the clients raise for, then the response as far as it came; nothing in it is done."""
    *_, error, last = payloads(START, TextDelta(text="a"), ToolCallStarted(call=0, id="c", name="f"), failed)
    assert (error["type"], error["code"], error["message"]) == ("error", failed.code, failed.message)
    assert error["error"]["message"] == failed.message
    assert (last["type"], last["response"]["status"]) == ("response.failed", status)
    assert last["response"]["error"] == (None if code is None else {"code": code, "message": failed.message})
    assert [item["status"] for item in last["response"]["output"]] == ["completed", "incomplete"]


def test_an_unknown_count_is_no_number() -> None:
    """Usage that nobody counted is null, never zero."""
    assert payloads(START, UsageReported(output_tokens=1), DONE)[-1]["response"]["usage"] is None


# What was asked for


def test_the_request_is_repeated() -> None:
    """Created, in progress and completed, a response repeats what was asked for, and has one time."""
    told = payloads(terms_of(), START, TextDelta(text="{}"), DONE)
    for response in (event["response"] for event in told if "response" in event):
        for name in BODY.keys() - {"model", "input", "text", "reasoning"}:
            assert response[name] == BODY[name]
        assert response["text"]["format"]["schema"] == {"type": "object"}
        assert response["reasoning"] == {"effort": "low", "summary": None}
        assert (response["model"], response["created_at"], response["store"]) == ("gpt-4o", 1_600_000_000, True)
        assert Response.model_validate(response)


def test_in_the_background_it_is_there_at_once() -> None:
    """A response in the background is created and queued before the upstream has begun, and created no second time."""
    terms = terms_of(background=True)
    assert kinds(terms) == ["created", "queued"]
    assert kinds(terms, START, DONE) == ["created", "queued", "in_progress", "completed"]
    assert kinds(terms, Failed(code="upstream_error", message="no")) == [
        "created", "queued", "in_progress", "error", "failed",
    ]  # fmt: skip
    assert fold_response(STREAM_ID, [terms])["status"] == "queued"
    assert fold_response(STREAM_ID, [terms])["model"] == "m"
    assert fold_response(STREAM_ID, [terms, START])["status"] == "in_progress"


def test_the_terms_alone_show_nothing() -> None:
    """In the foreground nothing is told before the answer begins."""
    assert kinds(terms_of()) == []
    assert fold_response(STREAM_ID, [], created_at=5.5)["created_at"] == 5


# Other answers


def test_whole_and_refusal() -> None:
    """The whole answer joins what came in pieces; a refusal is OpenAI's error object, and a place its kind of place."""
    output = json.loads(OPENAI_RESPONSES.whole(STREAM_ID, [START, TextDelta(text="a"), RefusalDelta(text="b"), DONE]))
    assert [part["type"] for part in output["output"][0]["content"]] == ["output_text", "refusal"]
    media_type, body = OPENAI_RESPONSES.refusal(RequestError(400, "invalid_value", "no", field="input.0.id"), "req_1")
    assert media_type == "application/json"
    assert json.loads(body)["error"]["param"] == "input[0].id"


def test_any_text_is_text() -> None:
    """A piece of text is only text, whatever it looks like, the second one too."""
    events: list[Event] = [START, TextDelta(text="%d"), TextDelta(text="%b"), DONE]
    assert [event["delta"] for event in payloads(*events) if "delta" in event] == ["%d", "%b"]
