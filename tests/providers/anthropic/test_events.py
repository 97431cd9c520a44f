"""Reading Anthropic's answers: the recordings, and every way in which servers misbehave."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.providers.reading import NOW, Reading, read_whole, recorded

from tailrace.events import (
    Event,
    Opaque,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.providers.anthropic.events import AnthropicReader
from tailrace.providers.base import Finish
from tailrace.providers.framing import BodyFraming

STARTED = Started(model="claude-haiku-4-5-20251001", created_at=NOW)
HERE = Started(model="m", created_at=NOW)
ASKED = UsageReported(input_tokens=25, output_tokens=1, cached_input_tokens=0)


def reader() -> AnthropicReader:
    return AnthropicReader(model="m", now=NOW)


def body_reader() -> AnthropicReader:
    return AnthropicReader(model="m", now=NOW, framing=BodyFraming())


def data(*payloads: Any) -> bytes:
    """An event stream of these payloads: bytes as they are, anything else as JSON."""
    texts = [payload if isinstance(payload, bytes) else msgspec.json.encode(payload) for payload in payloads]
    return b"".join(b"event: e\ndata: %b\n\n" % text for text in texts)


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def text(content: str, index: int = 0) -> dict[str, Any]:
    return delta(index, "text_delta", text=content)


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ended(reason: str | None, **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


STOP: dict[str, Any] = {"type": "message_stop"}


def opaque(reading: Reading) -> list[tuple[str, str]]:
    """The kinds of the opaque events, with the type of the payload that each holds."""
    return [(event.kind, json.loads(event.json)["type"]) for event in reading.events if isinstance(event, Opaque)]


class TestRecordings:
    """Each recording gives exactly these events."""

    def test_text(self) -> None:
        """Cached input is input, each figure holds until it is said again, and the stop sequence is told."""
        asked = UsageReported(input_tokens=2125, output_tokens=1, cached_input_tokens=2000)
        assert read_whole(reader, recorded("anthropic_text.sse")) == Reading(
            events=[
                asked,
                STARTED,
                TextDelta(text="Water"),
                TextDelta(text=" falls, 滝 🌊"),
                UsageReported(input_tokens=2125, output_tokens=15, cached_input_tokens=2000),
            ],
            finish=Finish(reason="stop", native="stop_sequence", stop_sequence="\n\nHuman:"),
        )

    def test_tools(self) -> None:
        """Tool calls are counted from 0 whatever their block, and a call without input has an empty object."""
        assert read_whole(reader, recorded("anthropic_tools.sse")) == Reading(
            events=[
                ASKED,
                STARTED,
                TextDelta(text="I'll look."),
                ToolCallStarted(call=0, id="toolu_01T1x1fJ34qAmk2tNTrN7Up6", name="get_weather"),
                ToolCallDelta(call=0, arguments='{"city":'),
                ToolCallDelta(call=0, arguments=' "Bern"}'),
                ToolCallStarted(call=1, id="toolu_02", name="get_time"),
                ToolCallDelta(call=1, arguments="{}"),
                UsageReported(input_tokens=25, output_tokens=89, cached_input_tokens=0),
            ],
            finish=Finish(reason="tool_calls", native="tool_use"),
        )

    def test_thinking(self) -> None:
        """Thinking comes with its signature; redacted thinking passes as it is; later figures hold."""
        reading = read_whole(reader, recorded("anthropic_thinking.sse"))
        assert reading.events[2:5] == [
            ReasoningDelta(text="27 is"),
            ReasoningDelta(text=" 3 cubed."),
            ReasoningDelta(text="", signature="EqQBCgIYAhIM1gbcDa9GJwZA2b3h"),
        ]
        assert opaque(reading) == [
            ("redacted_thinking", "content_block_start"),
            ("redacted_thinking", "content_block_stop"),
        ]
        assert reading.events[-2:] == [
            TextDelta(text="Three."),
            UsageReported(input_tokens=30, output_tokens=20, reasoning_tokens=12, cached_input_tokens=0),
        ]
        assert reading.finish == Finish(reason="length", native="max_tokens")

    def test_search(self) -> None:
        """A server tool's blocks and a text's citations pass through unchanged, and the text beside them is text."""
        body = recorded("anthropic_search.sse")
        reading = read_whole(reader, body)
        assert opaque(reading) == [
            ("server_tool_use", "content_block_start"),
            ("server_tool_use", "content_block_delta"),
            ("server_tool_use", "content_block_stop"),
            ("web_search_tool_result", "content_block_start"),
            ("web_search_tool_result", "content_block_stop"),
            ("citations_delta", "content_block_delta"),
        ]
        assert all(event.json.encode() in body for event in reading.events if isinstance(event, Opaque))
        assert [event.text for event in reading.events if isinstance(event, TextDelta)] == ["High at three."]
        assert reading.finish == Finish(reason="stop", native="pause_turn")

    def test_overloaded(self) -> None:
        """An error in mid-stream comes after the text before it, with the status that it stands for."""
        reading = read_whole(reader, recorded("anthropic_overloaded.sse"))
        assert reading.events == [ASKED, STARTED, TextDelta(text="Half")]
        assert reading.failure == ("upstream_error", "Overloaded", 529)

    def test_whole(self) -> None:
        """A whole message where a stream was asked for gives the events that its stream would have."""
        assert read_whole(body_reader, recorded("anthropic_whole.json")) == Reading(
            events=[
                UsageReported(input_tokens=15, output_tokens=6, cached_input_tokens=3),
                STARTED,
                ReasoningDelta(text="Hm.", signature="EqQB"),
                TextDelta(text="At once."),
                ToolCallStarted(call=0, id="toolu_03", name="get_time"),
                ToolCallDelta(call=0, arguments='{"zone": "CET"}'),
            ],
            finish=Finish(reason="tool_calls", native="tool_use"),
        )


class TestEnds:
    """How an answer ends, said or unsaid."""

    def test_cut(self) -> None:
        """An end with neither `message_stop` nor a stop reason is a cut, not a stop."""
        reading = read_whole(reader, data(text("Half")))
        assert reading.events == [HERE, TextDelta(text="Half")]
        assert reading.failure == ("upstream_cut", "the stream ended before the answer did", 502)

    def test_reason_alone(self) -> None:
        """A stop reason is an end even where `message_stop` is missing."""
        assert read_whole(reader, data(text("x"), ended("end_turn"))).finish == Finish(reason="stop", native="end_turn")

    def test_stop_alone(self) -> None:
        """`message_stop` after content is the format's own end: "stop", and no native word, since none was said."""
        assert read_whole(reader, data(text("x"), STOP)).finish == Finish(reason="stop", native=None)

    def test_stop_without_an_answer(self) -> None:
        """`message_stop` after nothing at all is no answer."""
        assert read_whole(reader, data(STOP)).failure == (
            "upstream_invalid",
            "the message stopped with neither content nor a stop reason",
            502,
        )

    def test_stop_ends_the_reading(self) -> None:
        """What follows `message_stop` is not read."""
        answer = reader()
        events = answer.feed(data(text("x"), STOP, text("y")))
        assert answer.done
        assert events + answer.feed(data(text("z"))) == [HERE, TextDelta(text="x")]

    def test_empty_answer(self) -> None:
        """An answer without content that says why is whole, and started."""
        reading = read_whole(reader, data(ended("end_turn"), STOP))
        assert reading == Reading(events=[HERE], finish=Finish(reason="stop", native="end_turn"))

    def test_terminal_of_another_format(self) -> None:
        """`[DONE]` from a proxy that speaks both formats is passed over."""
        assert read_whole(reader, data(text("x"), ended("end_turn"), b"[DONE]")).finish is not None
        assert read_whole(reader, data(text("x"), b"[DONE]")).failure is not None

    @pytest.mark.parametrize(
        ("word", "reason"),
        [
            ("end_turn", "stop"),
            ("stop_sequence", "stop"),
            ("pause_turn", "stop"),
            ("max_tokens", "length"),
            ("model_context_window_exceeded", "length"),
            ("tool_use", "tool_calls"),
            ("refusal", "content_filter"),
            ("something_new", "stop"),
        ],
    )
    def test_reasons(self, word: str, reason: Any) -> None:
        """Each stop reason has its common word; an unknown one is "stop", and the native word is kept."""
        assert read_whole(reader, data(text("x"), ended(word), STOP)).finish == Finish(reason=reason, native=word)


class TestContent:
    """What an event may hold."""

    def test_ping(self) -> None:
        """A ping says nothing, wherever it comes."""
        ping = {"type": "ping"}
        assert read_whole(reader, data(ping, text("a"), ping, text("b"))).events == [
            HERE,
            TextDelta(text="a"),
            TextDelta(text="b"),
        ]

    def test_content_at_the_start_of_a_block(self) -> None:
        """Text and thinking that come with the start of their block are not lost."""
        blocks = [start(0, type="thinking", thinking="T", signature="S"), start(1, type="text", text="x")]
        assert read_whole(reader, data(*blocks)).events == [
            HERE,
            ReasoningDelta(text="T", signature="S"),
            TextDelta(text="x"),
        ]

    def test_input_at_the_start_of_a_block(self) -> None:
        """A tool's input that comes whole with the start of its block is told when the block ends."""
        block = start(4, type="tool_use", id="a", name="f", input={"x": 1})
        assert read_whole(reader, data(block, stop(4))).events[2:] == [ToolCallDelta(call=0, arguments='{"x":1}')]

    def test_two_tools_at_once(self) -> None:
        """Pieces of input go to the call of their block."""
        blocks = [start(number, type="tool_use", id=name, name=name, input={}) for number, name in enumerate("ab")]
        pieces = [delta(1, "input_json_delta", partial_json="[1]"), delta(0, "input_json_delta", partial_json="[0]")]
        events: list[Event] = read_whole(reader, data(*blocks, *pieces, stop(0), stop(1))).events
        assert events[3:] == [ToolCallDelta(call=1, arguments="[1]"), ToolCallDelta(call=0, arguments="[0]")]

    def test_text_in_an_unknown_block(self) -> None:
        """Text inside a block of an unknown type is that block's, not the answer's."""
        reading = read_whole(reader, data(text("a"), start(1, type="novel"), text("b", 1), stop(1), text("c", 1)))
        assert [event.text for event in reading.events if isinstance(event, TextDelta)] == ["a", "c"]
        assert [kind for kind, _ in opaque(reading)] == ["novel"] * 3

    def test_unknown_event(self) -> None:
        """An event of an unknown type passes through."""
        reading = read_whole(reader, data(b'{"type": "novel_event",  "x":1.0}'))
        assert reading.events == [HERE, Opaque(kind="novel_event", json='{"type": "novel_event",  "x":1.0}')]

    def test_input_for_no_tool(self) -> None:
        """A delta that has no block to go to passes through instead of getting lost."""
        assert opaque(read_whole(reader, data(delta(9, "input_json_delta", partial_json="{}")))) == [
            ("input_json_delta", "content_block_delta")
        ]


class TestErrors:
    """Errors inside a 200."""

    @pytest.mark.parametrize(
        ("kind", "status"),
        [
            ("invalid_request_error", 400),
            ("authentication_error", 502),
            ("permission_error", 502),
            ("not_found_error", 404),
            ("request_too_large", 413),
            ("rate_limit_error", 429),
            ("api_error", 502),
            ("timeout_error", 502),
            ("overloaded_error", 529),
            ("novel_error", 502),
        ],
    )
    def test_error(self, kind: str, status: int) -> None:
        """An error event ends the answer after the text before it, with the status that it stands for."""
        error = {"type": "error", "error": {"type": kind, "message": "boom"}}
        reading = read_whole(reader, data(text("a"), error, STOP))
        assert reading.events == [HERE, TextDelta(text="a")]
        assert reading.failure == ("upstream_error", "boom", status)

    @pytest.mark.parametrize(
        ("payload", "message"),
        [
            ({"type": "error"}, "an error without a message"),
            ({"type": "error", "error": {"type": "api_error"}}, "api_error"),
            ({"type": "error", "error": "boom"}, "boom"),
            ({"error": {"message": "boom"}}, "boom"),
        ],
    )
    def test_odd_error(self, payload: Any, message: str) -> None:
        """An error of another shape is an error all the same."""
        assert read_whole(reader, data(payload)).failure == ("upstream_error", message, 502)

    def test_error_as_a_body(self) -> None:
        """An error as the whole JSON of a 200 is told as well."""
        body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
        assert read_whole(body_reader, body).failure == ("upstream_error", "Overloaded", 529)


class TestUntidy:
    """JSON that is not quite right."""

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"type":"content_block_delta","index":"0","delta":{"type":"text_delta","text":"x"}}',
            b'{"type":"content_block_delta","index":null,"delta":{"type":"text_delta","text":"x","signature":null}}',
            b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"},"odd":[NaN,"\\ud83d"]}',
            b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"},"usage":"none"}',
        ],
    )
    def test_forgiven(self, payload: bytes) -> None:
        """Numbers in quotes, nulls, NaN, broken text and odd usage do not cost the answer."""
        assert read_whole(reader, data(payload)).events == [HERE, TextDelta(text="x")]

    @pytest.mark.parametrize("payload", [b"hello", b"{", b"[1]", b"{}", b'{"index":0}', b'{"type":7}', b"[" * 100_000])
    def test_not_the_format(self, payload: bytes) -> None:
        """What can't be read, an event without a type included, is a named failure."""
        reading = read_whole(reader, data(text("a"), payload))
        assert reading.events == [HERE, TextDelta(text="a")]
        assert reading.failure is not None
        assert reading.failure[0] == "upstream_invalid"
