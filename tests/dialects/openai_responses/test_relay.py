"""An upstream's own events in the client's stream: nothing of them is lost, and they have our names and numbers."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.reading import READERS, STREAM_ID

from tailrace.dialects import OPENAI_RESPONSES
from tailrace.dialects.openai_responses import (
    find_number,
    merge_response,
    parse_adopted_id,
    read_item,
    read_output,
    read_response,
    write_terms,
)
from tailrace.errors import UpstreamError
from tailrace.events import Event, Failed, Finished, Started, TextDelta, UsageReported
from tailrace.providers.openai_responses.events import OpenAIResponsesReader
from tailrace.requests import Text, ToolCall

RESPONSE: Final = f"resp_{STREAM_ID.removeprefix('gen_')}"
USAGE: Final = UsageReported(input_tokens=3, output_tokens=5)
FAILED: Final = Failed(code="upstream_cut", message="cut")


def terms_of(**fields: Any) -> Event:
    """What a log of a request with these fields opens with."""
    return write_terms(read_response(json.dumps({"input": "Hi", **fields}).encode()).to_terms(7.5))


def log_of(body: bytes, *, opening: Event | None = None, terminal: Failed = FAILED) -> list[Event]:
    """The log of an answer that came in these bytes; one that did not end well has this terminal."""
    reader = OpenAIResponsesReader(model="m", now=1.0)
    reader.keeps_frames = True
    told = [event for event in (*reader.feed(body), *reader.flush()) if not isinstance(event, UsageReported)]
    start = [event for event in told if isinstance(event, Started)] or [Started(model="m", created_at=1.0, frame=b"")]
    said = [event for event in told if not isinstance(event, Started)]
    try:
        finish = reader.finish()
    except UpstreamError:
        end: Event = terminal
    else:
        end = Finished(reason=finish.reason, frame=finish.frame)
    return [*([opening] if opening else []), *start, *said, USAGE, end]


def body_of(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def relay(events: list[Event]) -> bytes:
    encoder = OPENAI_RESPONSES.relay(STREAM_ID)
    return b"".join(encoder.encode(seq, event) for seq, event in enumerate(events, 1))


def printed(events: list[Event]) -> list[Any]:
    """What a client reads, event by event."""
    return [frame.value for frame in READERS["openai_responses"].parse(relay(events))]


def ours(upstream_id: str) -> str:
    prefix = upstream_id.partition("_")[0]
    return f"{prefix}_{STREAM_ID.removeprefix('gen_')}_{upstream_id}"


def said(delta: str, **fields: Any) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": delta, **fields}


def item(kind: str, item_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "id": item_id, **fields}


def done(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "status": "completed", "output": [*output], "usage": None, **fields}
    return {"type": "response.completed", "response": response}


# Names


@given(st.from_regex(r"[a-z]{1,12}_.+", fullmatch=True) | st.text(min_size=1))
def test_an_upstream_s_name_is_found_in_ours(upstream_id: str) -> None:
    """Whatever an upstream calls its items, our name leads to the response, and to that name."""
    added = {"type": "response.output_item.added", "output_index": 0, "item": item("message", upstream_id)}
    frame, *_ = printed(log_of(body_of(added, said("x", item_id=upstream_id)), opening=terms_of()))
    name = parse_adopted_id(frame["item"]["id"])
    assert name is not None
    assert (name.response_id, name.upstream_id) == (RESPONSE, upstream_id.encode(errors="replace").decode())


def test_only_names_are_exchanged() -> None:
    """A text, a call's id, or an argument that reads like an item's name stays as it is."""
    call = item("function_call", "a_1", call_id="a_1", name="a_1", arguments='{"id":"a_1"}')
    added = {"type": "response.output_item.added", "output_index": 0, "item": call}
    events = log_of(
        body_of(added, said("a_1", item_id="a_1"), said("a_1", item_id="a_1"), done(call)), opening=terms_of()
    )
    first, *texts, last = printed(events)
    assert first["item"] == last["response"]["output"][0] == {**call, "id": ours("a_1")}
    assert [(text["delta"], text["item_id"]) for text in texts] == [("a_1", ours("a_1"))] * 2


def test_items_that_are_not_kept_keep_their_names() -> None:
    """Without storing, the response alone is named anew, since nothing leads to its items."""
    events = log_of(body_of(said("x", item_id="msg_1"), done(item("message", "msg_1"))), opening=terms_of(store=False))
    text, last = printed(events)
    assert (text["item_id"], last["response"]["output"][0]["id"]) == ("msg_1", "msg_1")
    assert last["response"]["id"] == RESPONSE


def test_a_response_without_a_name() -> None:
    """Where the upstream gives the response no id it has ours all the same; what it did not count, we did."""
    last = printed(log_of(body_of(said("x"), {"type": "response.completed", "response": {"status": "completed"}})))[-1]
    assert last["response"]["id"] == RESPONSE
    assert last["response"]["usage"]["output_tokens"] == 5


# Odd data


@pytest.mark.parametrize(
    "written",
    [
        b'{"type":"response.tomorrow","n":NaN,"sequence_number":0}',
        b'{"type":"response.tomorrow","n":"\\ud800","sequence_number":0}',
        b'{"type":"response.tomorrow",\ndata: "sequence_number":0}',
        b'{"type":"a b\\u0000","sequence_number":0}',
        b'{"type":"response.tomorrow","item":5,"response":[],"item_id":{},"sequence_number":0}',
        b'{"type":"response.tomorrow","response":{"id":7,"output":"none"},"sequence_number":0}',
    ],
)
def test_events_that_nobody_expects(written: bytes) -> None:
    """Whatever an event holds, it comes out as one event, and those after it as ever."""
    events = log_of(b"data: %b\n\n" % written + body_of(said("x", sequence_number=1)), opening=terms_of())
    frames = READERS["openai_responses"].parse(relay(events))
    assert [frame.value["sequence_number"] for frame in frames] == [0, 1, 2, 3]
    assert [frame.event for frame in frames[1:]] == ["response.output_text.delta", "error", "response.failed"]
    assert merge_response(STREAM_ID, events) == frames[-1].value["response"]


def test_bytes_stay_as_they_are() -> None:
    """Spaces, escapes and numbers are as the upstream wrote them."""
    written = b'{ "type" : "response.tomorrow", "n":1.0e+2,"t":"\\u00e9\\/", "sequence_number":0 }'
    text = b'{"type": "response.output_text.delta", "delta": "\\u00e9", "output_index": 0, "sequence_number": 1}'
    first, second = relay(log_of(b"data: %b\n\ndata: %b\n\n" % (written, text), opening=terms_of())).split(b"\n\n")[:2]
    assert first.endswith(b"\ndata: " + written)
    assert second.endswith(b"\ndata: " + text)


# What it comes to


def test_pieces_come_to_a_response() -> None:
    """Until the upstream says what all came to, it is what a client would make of the events."""
    body = body_of(
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "vendor": 1}},
        {"type": "response.output_item.added", "output_index": 0, "item": item("reasoning", "rs_1", summary=[])},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "H"},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "m."},
        {"type": "response.output_item.done", "output_index": 0, "item": item("reasoning", "rs_1", summary=["Hm."])},
        {"type": "response.output_item.added", "output_index": 1, "item": item("function_call", "fc_1", name="f")},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{"},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "}"},
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": item("message", "msg_1", status="in_progress"),
        },
        {"type": "response.content_part.added", "output_index": 2, "content_index": 0, "part": {"type": "refusal"}},
        {"type": "response.refusal.delta", "output_index": 2, "content_index": 0, "delta": "No"},
        {"type": "response.refusal.delta", "output_index": 2, "content_index": 0, "delta": "!"},
    )
    events = log_of(body, opening=terms_of())
    output = [
        item("reasoning", ours("rs_1"), summary=["Hm."]),
        item("function_call", ours("fc_1"), name="f", arguments="{}"),
        item("message", ours("msg_1"), status="incomplete", content=[{"type": "refusal", "refusal": "No!"}]),
    ]
    response = merge_response(STREAM_ID, events)
    assert (response["output"], response["status"], response["vendor"]) == (output, "failed", 1)
    running = merge_response(STREAM_ID, events[:-2])
    assert (running["status"], running["output"][2]["status"]) == ("in_progress", "in_progress")
    assert read_output(events) == ()


def test_an_output_that_the_end_does_not_repeat() -> None:
    """Servers that end with an empty output have told of the items before, and these are kept."""
    call = item("function_call", "fc_1", call_id="c", name="f", arguments="{}")
    body = body_of({"type": "response.output_item.done", "output_index": 0, "item": call}, done())
    events = log_of(body, opening=terms_of())
    assert merge_response(STREAM_ID, events)["output"] == [{**call, "id": ours("fc_1")}]
    assert read_output(events)[0].hints == {"output": [call]}


def test_an_item_is_a_turn() -> None:
    """What is kept of an answer is read as the turn that it was; of what nobody else knows only its words stay."""
    message = item("message", "m", role="assistant", content=[{"type": "output_text", "text": "A", "annotations": []}])
    call = item("function_call", "f", call_id="c", name="f", arguments="{}")
    search = item("web_search_call", "ws")
    kept = [read_item(one) for one in (message, call, search, {"id": "x"}, {"type": "message"})]
    assert [one.parts for one in kept] == [(Text(text="A"),), (ToolCall(id="c", name="f", arguments="{}"),), (), (), ()]
    assert [json.loads(bytes(one.verbatim or b"")) for one in kept[:3]] == [[message], [call], [search]]


# Any stream

ANY: Final = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["resp_1", "msg_1", "completed", "a\u2028\n"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "type", "text", "content", "status", "output"]), inner, max_size=4)
    ),
    max_leaves=6,
)
KINDS: Final = st.sampled_from(
    [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.web_search_call.searching",
        "tomorrow",
    ]
)
FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "delta": st.text(max_size=3),
    "output_index": st.integers(0, 2),
    "content_index": st.integers(0, 1),
    "summary_index": st.integers(0, 1),
    "item_id": st.sampled_from(["msg_1", "rs_1", "x"]),
    "item": ANY,
    "part": ANY,
    "response": ANY,
    "sequence_number": st.integers(0, 5),
    "vendor": ANY,
}
EVENT: Final = st.builds(
    lambda kind, fields: {"type": kind, **fields}, KINDS, st.fixed_dictionaries({}, optional=FIELDS)
)
OPENINGS: Final = st.sampled_from([{"store": False}, {"store": True}, {"background": True}])


@given(st.lists(EVENT, max_size=12), OPENINGS, st.booleans())
def test_any_stream(told: list[dict[str, Any]], request: dict[str, Any], whole: bool) -> None:
    """Every event of every stream comes out, once, in order and numbered, and what it comes to can be read."""
    events = log_of(body_of(said("x"), *told, *([done()] if whole else [])), opening=terms_of(**request))
    frames = printed(events)
    assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
    kept = [name for event in events if event.frame for name in [json.loads(data_in(event.frame))["type"]]]
    announced = request.get("background", False)
    names = [name for name in kept if not (announced and name == "response.created")]
    end = [] if isinstance(events[-1], Finished) else ["error", "response.failed"]
    opening = ["response.created", "response.queued"] if announced else []
    assert [frame["type"] for frame in frames] == [*opening, *names, *end]
    response = merge_response(STREAM_ID, events)
    assert (response["id"], frames[-1]["response"]["id"]) == (RESPONSE, RESPONSE)
    assert response["status"] == frames[-1]["response"]["status"]


@given(st.lists(EVENT, max_size=9), OPENINGS)
def test_every_number_leads_to_its_place(told: list[dict[str, Any]], request: dict[str, Any]) -> None:
    """A number is found behind the entry that printed it, or between its frames."""
    events = log_of(body_of(said("x"), *told, done()), opening=terms_of(**request))
    encoder = OPENAI_RESPONSES.relay(STREAM_ID)
    places = [
        (seq, place)
        for seq, event in enumerate(events, 1)
        for place in range(1, encoder.encode(seq, event).count(b"\n\n") + 1)
    ]
    found = [find_number(STREAM_ID, events, number) for number in range(len(places))]
    last = {seq: max(place for other, place in places if other == seq) for seq, _ in places}
    assert found == [(seq, 0) if place == last[seq] else (seq - 1, place) for seq, place in places]
    assert find_number(STREAM_ID, events, len(places)) is None


def data_in(frame: bytes) -> bytes:
    return b"".join(line[6:] for line in frame.split(b"\n") if line.startswith(b"data: "))


# A log without events of the format


def test_an_answer_of_another_format() -> None:
    """Where the upstream speaks another format the events are the encoder's own."""
    events: list[Event] = [terms_of(), Started(model="m", created_at=1.0), TextDelta(text="Hi")]
    events += [USAGE, Finished(reason="stop")]
    encoder = OPENAI_RESPONSES.encoder(STREAM_ID)
    assert relay(events) == b"".join(encoder.encode(seq, event) for seq, event in enumerate(events, 1))
    assert OPENAI_RESPONSES.relay_whole(STREAM_ID, events) == OPENAI_RESPONSES.whole(STREAM_ID, events)
