"""Reading responses: the recordings, and every way in which servers misbehave."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.providers.openai_responses.answering import (
    CALLED,
    CUT,
    HERE,
    STOP,
    body_reader,
    calls_in,
    data,
    ended,
    event,
    reader,
    reading,
    text,
)
from tests.providers.reading import WIRE, Reading, read, read_whole, recorded

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
from tailrace.providers.openai_responses.events import MAX_EVENT
from tailrace.sse import Decoder

STARTED = Started(model="gpt-4.1-mini-2025-04-14", created_at=1741476777.0)


class TestRecordings:
    """Each recording gives exactly these events."""

    @pytest.mark.parametrize("path", sorted(WIRE.glob("openai_responses_*")), ids=lambda path: path.name)
    def test_they_are_the_vendors(self, path: Any) -> None:
        """Every event of the recordings fits the types of OpenAI's own SDK."""
        if path.suffix == ".json":
            assert Response.model_validate_json(path.read_bytes()).status == "completed"
            return
        events: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
        payloads = [events.validate_json(sent.data) for sent in Decoder().feed(path.read_bytes())]
        assert [payload.sequence_number for payload in payloads] == list(range(len(payloads)))

    def test_text(self) -> None:
        """Text comes delta by delta between the start and the usage; what only marks the way is no event."""
        assert read_whole(reader, recorded("openai_responses_text.sse")) == Reading(
            events=[
                STARTED,
                TextDelta(text="Wheels"),
                TextDelta(text=" turn — “slowly”"),
                TextDelta(text=", 水車 🌊"),
                TextDelta(text=".\n"),
                UsageReported(input_tokens=19, output_tokens=10, reasoning_tokens=0, cached_input_tokens=8),
            ],
            finish=STOP,
        )

    def test_tools(self) -> None:
        """Reasoning comes in paragraphs, its proof at its end; each call is announced once, then its arguments."""
        whole = read_whole(reader, recorded("openai_responses_tools.sse"))
        assert whole.events[1:5] == [
            ReasoningDelta(text="**Two places**\n\nAsk for"),
            ReasoningDelta(text=" both."),
            ReasoningDelta(text="\n\n**Then**"),
            ReasoningDelta(text="", signature="openai:rs_0a1b2c3d4e5f:gAAAAABwhole_and-sealed=="),
        ]
        assert calls_in(whole.events) == [
            ("call_qPYUVAwKAb9xzFDUuSvY4ePG", "get_weather", '{"city":"Bern"}'),
            ("call_HmsWKQ0IVMmUWXLfIhtLQxGk", "get_time", '{"zone":"CET"}'),
        ]
        assert whole.events[-1] == UsageReported(
            input_tokens=76, output_tokens=104, reasoning_tokens=64, cached_input_tokens=0
        )
        assert whole.finish == CALLED

    def test_refusal(self) -> None:
        """A refusal is no text."""
        assert read_whole(reader, recorded("openai_responses_refusal.sse")).events[1:3] == [
            RefusalDelta(text="I'm sorry"),
            RefusalDelta(text=", I can't."),
        ]

    def test_incomplete(self) -> None:
        """An answer that met its limit is whole and says so; reasoning in the clear has no proof."""
        whole = read_whole(reader, recorded("openai_responses_incomplete.sse"))
        assert whole.events[1:5] == [
            ReasoningDelta(text="Two and"),
            ReasoningDelta(text=" two."),
            TextDelta(text="Four"),
            TextDelta(text=" or"),
        ]
        assert whole.finish == Finish(reason="length", native="max_output_tokens")

    def test_failed(self) -> None:
        """A failure ends the answer after what came before it, with the vendor's words."""
        assert read_whole(reader, recorded("openai_responses_failed.sse")) == Reading(
            events=[STARTED, TextDelta(text="Half an")],
            failure=("upstream_error", "The model failed to generate a response.", 502),
        )

    def test_search(self) -> None:
        """What has no event of its own passes through as it came, in its place."""
        events = read_whole(reader, recorded("openai_responses_search.sse")).events
        kinds = [event.kind if isinstance(event, Opaque) else type(event).__name__ for event in events[1:-1]]
        assert kinds == [
            "web_search_call",
            "response.web_search_call.in_progress",
            "response.web_search_call.searching",
            "response.web_search_call.completed",
            "web_search_call",
            "TextDelta",
            "TextDelta",
            "annotations",
        ]
        assert isinstance(events[-2], Opaque)
        [annotation] = msgspec.json.decode(events[-2].json)
        assert annotation["url_citation"]["url"] == "https://example.com/mills"

    def test_whole(self) -> None:
        """A whole response where a stream was asked for gives the events that its stream would have."""
        assert read_whole(body_reader, recorded("openai_responses_whole.json")) == Reading(
            events=[
                Started(model="gpt-5-mini-2025-08-07", created_at=1741476777.0),
                ReasoningDelta(text="Hm.", signature="openai:rs_0f2031425365:gAAAAABwhole=="),
                TextDelta(text="All at once."),
                ToolCallStarted(call=0, id="call_1", name="get_time"),
                ToolCallDelta(call=0, arguments='{"zone": "CET"}'),
                UsageReported(input_tokens=19, output_tokens=10, reasoning_tokens=5, cached_input_tokens=0),
            ],
            finish=CALLED,
        )


class TestEnds:
    """How an answer ends, said or unsaid."""

    @pytest.mark.parametrize("last", [[], [b"[DONE]"], [event("output_text.done", output_index=0, text="Half")]])
    def test_cut(self, last: list[Any]) -> None:
        """An end that no event has told of is a cut, whatever else was told."""
        assert reading(text("Half"), *last) == Reading(events=[HERE, TextDelta(text="Half")], failure=CUT)

    def test_nothing(self) -> None:
        """An empty body is a cut too."""
        assert read_whole(reader, b"").failure == CUT

    def test_the_end_ends_the_reading(self) -> None:
        """What follows the end is not read, in the same piece or a later one."""
        answer = reader()
        events = answer.feed(data(text("x"), ended(), text("y")))
        assert answer.done
        assert events + answer.feed(data(text("z"))) + answer.flush() == [HERE, TextDelta(text="x")]

    def test_an_empty_answer(self) -> None:
        """An answer without content that says that it is complete is whole, and started."""
        assert reading(ended()) == Reading(events=[HERE], finish=STOP)

    @pytest.mark.parametrize(
        ("told", "reason", "native"),
        [
            ({"reason": "max_output_tokens"}, "length", "max_output_tokens"),
            ({"reason": "content_filter"}, "content_filter", "content_filter"),
            ({"reason": "max_messages"}, "length", "max_messages"),
            ({}, "length", "incomplete"),
            (None, "length", "incomplete"),
        ],
    )
    def test_incomplete(self, told: Any, reason: Any, native: str) -> None:
        """What is incomplete is never a stop; the vendor's own word is kept."""
        said = ended("incomplete", incomplete_details=told)
        assert reading(text("x"), said).finish == Finish(reason=reason, native=native)

    def test_the_status_has_the_last_word(self) -> None:
        """A `completed` event whose response says that it is incomplete, as some servers send it, was cut short."""
        said = event("completed", response={"status": "incomplete"})
        assert reading(text("x"), said).finish == Finish(reason="length", native="incomplete")

    @pytest.mark.parametrize("status", ["queued", "in_progress"])
    def test_a_body_that_is_not_done(self, status: str) -> None:
        """A whole body of a response that still runs is no answer."""
        body = msgspec.json.encode({"object": "response", "status": status, "output": []})
        assert read_whole(body_reader, body).failure == CUT


class TestFailures:
    """Errors inside a 200."""

    @pytest.mark.parametrize(
        ("payload", "told", "status"),
        [
            (ended("failed", error={"code": "server_error", "message": "boom"}), "boom", 502),
            (ended("failed", error={"code": "rate_limit_exceeded", "message": "slow"}), "slow", 429),
            (ended("failed", error={"code": "invalid_prompt", "message": "no"}), "no", 400),
            (ended("failed", error={"code": "empty_image_file", "message": "no"}), "no", 400),
            (ended("failed", error={"code": "bio_policy"}), "bio_policy", 400),
            (ended("failed"), "the response is failed", 502),
            (ended("cancelled"), "the response is cancelled", 502),
            (event("failed"), "the response is failed", 502),
            (event("completed", response={"error": {"message": "boom"}}), "boom", 502),
            ({"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None}, "slow", 429),
            ({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}, "no", 400),
            ({"type": "error"}, "an error without a message", 502),
            ({"error": {"message": "busy", "code": 529}}, "busy", 529),
            ({"error": "boom"}, "boom", 502),
            ({"message": "boom"}, "boom", 502),
        ],
    )
    def test_told(self, payload: Any, told: str, status: int) -> None:
        """Each way to tell of an error ends the answer after the text before it, with the status that it stands for."""
        assert reading(text("a"), payload) == Reading(
            events=[HERE, TextDelta(text="a")], failure=("upstream_error", told, status)
        )

    def test_as_a_body(self) -> None:
        """An error as the whole JSON of a 200 is told as well."""
        assert read_whole(body_reader, b'{"error": {"message": "boom"}}').failure == ("upstream_error", "boom", 502)

    def test_usage_of_a_failure(self) -> None:
        """What a failed response has cost is reported before it fails."""
        failed = ended("failed", usage={"input_tokens": 5, "output_tokens": 2}, error={"message": "boom"})
        assert reading(text("a"), failed).events[-1] == UsageReported(input_tokens=5, output_tokens=2)


class TestUsage:
    """Usage comes with the end."""

    @pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None}, {"input_tokens": -1}, "many", [1]])
    def test_unreadable(self, usage: Any) -> None:
        """Usage that says nothing, or nothing that can be believed, is no usage, and costs no text."""
        assert reading(text("a"), ended(usage=usage)) == Reading(events=[HERE, TextDelta(text="a")], finish=STOP)

    def test_without_details(self) -> None:
        """What is not said of usage stays unsaid."""
        assert reading(text("a"), ended(usage={"input_tokens": 1, "output_tokens": 2})).events[-1] == UsageReported(
            input_tokens=1, output_tokens=2
        )


class TestUntidy:
    """JSON that is not quite right."""

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"type":"response.output_text.delta","output_index":"0","delta":"x"}',
            b'{"type":"response.output_text.delta","output_index":0.0,"delta":"x","item_id":7}',
            b'{"type":"response.output_text.delta","output_index":null,"delta":"x","logprobs":null}',
            b'{"type":"response.output_text.delta","delta":"x","odd":NaN}',
            b'{"type":"response.output_text.delta","delta":"x","odd":"\xff"}',
            b'{"type":"response.output_text.delta","delta":"x","odd":"\\ud83d"}',
            b'{"type":"response.output_text.delta","delta":"x","item":{"type":null},"response":null}',
        ],
    )
    def test_forgiven(self, payload: bytes) -> None:
        """Numbers in quotes, nulls, NaN, broken text and odd extras do not cost the answer."""
        assert reading(payload, ended(model=7, created_at="soon", output=None)) == Reading(
            events=[HERE, TextDelta(text="x")], finish=STOP
        )

    @pytest.mark.parametrize("output", [{"no": "list"}, [7]])
    def test_an_odd_output(self, output: Any) -> None:
        """An output that can't be read costs nothing where all was streamed, and the answer where nothing was."""
        odd = ended(output=output)
        assert reading(text("x"), odd).finish == STOP
        failure = reading(odd).failure
        assert failure is not None
        assert failure[0] == "upstream_invalid"

    def test_line_separators(self) -> None:
        """U+2028, NUL and the like in a text are text, on the first delta and on later ones."""
        assert reading(text("\u2028"), text("a\u0000c\r\n")).events[1:] == [
            TextDelta(text="\u2028"),
            TextDelta(text="a\u0000c\r\n"),
        ]

    @pytest.mark.parametrize(
        "payload",
        [
            b"hello",
            b"{",
            b"[1]",
            b"7",
            b"{}",
            text(7),  # type: ignore[arg-type]
            {"choices": [{"delta": {"content": "x"}}]},
            {"type": "response.output_item.done", "item": 7},
            b"[" * 100_000,
        ],
    )
    def test_not_the_format(self, payload: Any) -> None:
        """What can't be read, a chat completion's chunk too, is a named failure, after the events before it."""
        told = reading(text("a"), payload)
        assert told.events == [HERE, TextDelta(text="a")]
        assert told.failure is not None
        assert told.failure[0] == "upstream_invalid"


def test_a_long_end() -> None:
    """The event that ends a response holds all of it again, and may be longer than any event of other formats."""
    long = "x" * (3 << 20)
    assert reading(text("a"), ended(instructions=long)).finish == STOP


@pytest.mark.parametrize("tail", [[b"x" * 65536] * 129, [b"x" * (9 << 20), b"\n\n"]])
def test_endless_line(tail: list[bytes]) -> None:
    """A line of over 8 MiB is refused as soon as it is that long, after the events of the reads before it."""
    whole = read(reader, [data(text("Half")), b"data: ", *tail])
    assert whole.events == [HERE, TextDelta(text="Half")]
    assert whole.failure is not None
    assert whole.failure[0] == "upstream_invalid"
    assert str(MAX_EVENT) in whole.failure[1]
