"""Anthropic's messages as a stream, byte for byte, and against the types of its official client."""

from __future__ import annotations

import json

from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from pydantic import TypeAdapter
from tests.contracts.test_dialects import logs
from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.anthropic.answering import DONE, START, accumulated, payloads, strangers
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import ANTHROPIC, DELTA
from tailrace.events import (
    Event,
    Failed,
    Opaque,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.sse import Decoder
from tailrace.streamlog import Ring
from tailrace.web.feed import Cursor

MESSAGE = (
    '{"id":"msg_0123456789abcdef01234567","type":"message","role":"assistant","model":"gpt-4o","content":[],'
    '"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":0}}'
)

WHOLE_STREAM = """\
id: ID.1
event: message_start
data: {"type":"message_start","message":MESSAGE}

id: ID.2.1
event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

id: ID.2
event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}

id: ID.3
event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}

id: ID.4.1
event: content_block_stop
data: {"type":"content_block_stop","index":0}

id: ID.4.2
event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

id: ID.4
event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hel"}}

id: ID.5
event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"lo \\"you\\"\\n"}}

id: ID.7
event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"No."}}

id: ID.8.1
event: content_block_stop
data: {"type":"content_block_stop","index":1}

id: ID.8
event: content_block_start
data: {"type":"content_block_start","index":2,\
"content_block":{"type":"tool_use","id":"call_1","name":"look","input":{}}}

id: ID.9
event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\\"at\\":"}}

id: ID.10
event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\\"it\\"}"}}

id: ID.12.1
event: content_block_stop
data: {"type":"content_block_stop","index":2}

id: ID.12.2
event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},\
"usage":{"input_tokens":11,"output_tokens":42,"output_tokens_details":{"thinking_tokens":7}}}

id: ID.12
event: message_stop
data: {"type":"message_stop"}

"""

BROKEN_STREAM = """\
id: ID.1
event: message_start
data: {"type":"message_start","message":MESSAGE}

id: ID.2.1
event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

id: ID.2
event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}

id: ID.4.1
event: content_block_stop
data: {"type":"content_block_stop","index":0}

id: ID.4
event: error
data: {"type":"error","error":{"type":"api_error","message":"the upstream broke off"}}

"""

EVENTS: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def written(template: str) -> bytes:
    return template.replace("ID", STREAM_ID).replace("MESSAGE", MESSAGE).encode()


def test_whole_answer() -> None:
    """Each block opens, goes on and closes; the earlier frames of an entry say which of its frames they are."""
    assert encode_all(ANTHROPIC, WHOLE) == written(WHOLE_STREAM)


def test_failure() -> None:
    """A failure is an error event, and no end of the message follows."""
    assert encode_all(ANTHROPIC, BROKEN) == written(BROKEN_STREAM)


def test_a_failure_before_anything_began() -> None:
    """An answer that never began has no start either."""
    assert [payload["type"] for payload in payloads([Failed(code="idle_timeout", message="x", status=504)])] == [
        "error"
    ]


def test_what_waits_when_an_answer_breaks_off_is_shown() -> None:
    """What was held back for a call's sake is shown before the failure."""
    events: list[Event] = [START, ToolCallStarted(call=0, id="a", name="n"), TextDelta(text="Hm."), BROKEN[-1]]
    assert [payload["type"] for payload in payloads(events)][-5:] == [
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "error",
    ]


def test_an_empty_answer() -> None:
    """An answer without content is a start and an end, even where nobody said that it began."""
    answers: list[list[Event]] = [[START, DONE], [DONE]]
    for events in answers:
        assert [payload["type"] for payload in payloads(events)] == ["message_start", "message_delta", "message_stop"]


def test_a_replay_joins_the_text_and_nothing_else() -> None:
    """The frames that open a block are those of the entry that opened it, also where its text is joined with more."""
    events: list[Event] = [START, *(TextDelta(text=letter) for letter in "Hello"), UsageReported(), DONE]
    log = Ring().create(STREAM_ID)
    log.append(events)
    replayed = Decoder().feed(Cursor(log, ANTHROPIC).take())
    assert [(frame.id.removeprefix(STREAM_ID), frame.event) for frame in replayed] == [
        (".1", "message_start"),
        (".2.1", "content_block_start"),
        (".6", "content_block_delta"),
        (".8.1", "content_block_stop"),
        (".8.2", "message_delta"),
        (".8", "message_stop"),
    ]


def test_heartbeats_are_pings() -> None:
    """A sign of life is this format's own."""
    [ping] = Decoder().feed(ANTHROPIC.encoder(STREAM_ID).heartbeat)
    assert (ping.event, ping.data, ping.id) == ("ping", '{"type":"ping"}', "")


@given(events=logs())
def test_events_are_of_the_clients_types(events: list[Event]) -> None:
    """Every event of any log is one by the official client's own types, with no field that they do not know."""
    for payload in payloads(events):
        if payload["type"] != "error":
            assert not strangers(EVENTS.validate_python(payload))


@given(events=logs())
def test_a_stream_comes_to_the_whole_answer(events: list[Event]) -> None:
    """What the official client puts together of a stream is our whole answer, as far as arguments are JSON."""
    events = [event for event in events if not isinstance(event, ToolCallDelta)]
    events[-1] = DONE
    whole = json.loads(ANTHROPIC.whole(STREAM_ID, events))
    assert accumulated(events) == {name: value for name, value in whole.items() if value is not None}


def test_our_own_formats_show_nothing_of_it() -> None:
    """What only this format shows is nothing to others."""
    events: list[Event] = [START, Opaque(kind="text", json="{}"), ReasoningDelta(text="", signature="c2ln")]
    shown = encode_all(DELTA, events)
    assert b"content_block" not in shown
