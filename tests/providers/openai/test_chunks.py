"""Reading OpenAI-compatible answers: the recordings, and every way in which servers misbehave."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.providers.reading import NOW, Reading, read_whole, recorded

from tailrace.events import (
    Event,
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
from tailrace.providers.framing import BodyFraming
from tailrace.providers.openai.chunks import OpenAIReader

STARTED = Started(model="gpt-4o-mini-2024-07-18", created_at=1741570283.0)
HERE = Started(model="m", created_at=NOW)
STOP = Finish(reason="stop", native="stop")


def reader() -> OpenAIReader:
    return OpenAIReader(model="m", now=NOW, nonce="n")


def body_reader() -> OpenAIReader:
    return OpenAIReader(model="m", now=NOW, nonce="n", framing=BodyFraming())


def data(*payloads: Any) -> bytes:
    """An event stream of these payloads: bytes as they are, anything else as JSON."""
    texts = [payload if isinstance(payload, bytes) else msgspec.json.encode(payload) for payload in payloads]
    return b"".join(b"data: %b\n\n" % text for text in texts)


def delta(finish: str | None = None, /, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def text(content: str) -> dict[str, Any]:
    return delta(content=content)


def called(*calls: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return delta(finish, tool_calls=list(calls))


def arguments_of(events: list[Event]) -> dict[tuple[str, str], str]:
    """The arguments of each tool call by its id and name."""
    calls = [event for event in events if isinstance(event, ToolCallStarted)]
    assert [call.call for call in calls] == list(range(len(calls)))
    return {
        (call.id, call.name): "".join(
            event.arguments for event in events if isinstance(event, ToolCallDelta) and event.call == call.call
        )
        for call in calls
    }


class TestRecordings:
    """Each recording gives exactly these events."""

    def test_text(self) -> None:
        """Text comes delta by delta between the start and the usage; a chunk with only a role is no event."""
        assert read_whole(reader, recorded("openai_text.sse")) == Reading(
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
        """Parallel tool calls are told apart by index, and each is announced once."""
        reading = read_whole(reader, recorded("openai_tools.sse"))
        assert reading.events[:3] == [
            STARTED,
            ToolCallStarted(call=0, id="call_qPYUVAwKAb9xzFDUuSvY4ePG", name="get_weather"),
            ToolCallDelta(call=0, arguments='{"ci'),
        ]
        assert arguments_of(reading.events) == {
            ("call_qPYUVAwKAb9xzFDUuSvY4ePG", "get_weather"): '{"city": "Bern"}',
            ("call_HmsWKQ0IVMmUWXLfIhtLQxGk", "get_time"): '{"zone": "CET"}',
        }
        assert reading.finish == Finish(reason="tool_calls", native="tool_calls")

    def test_refusal(self) -> None:
        """A refusal is no text."""
        assert read_whole(reader, recorded("openai_refusal.sse")).events[1:3] == [
            RefusalDelta(text="I'm sorry"),
            RefusalDelta(text=", I can't."),
        ]

    def test_two_choices(self) -> None:
        """Each delta carries its choice, log probabilities come as they are, and the first choice gives the reason."""
        reading = read_whole(reader, recorded("openai_two_choices.sse"))
        texts = [(event.choice, event.text) for event in reading.events if isinstance(event, TextDelta)]
        assert texts == [(0, "Yes"), (1, "No"), (1, " never")]
        probabilities = [event for event in reading.events if isinstance(event, Opaque)]
        assert [(event.kind, event.choice) for event in probabilities] == [("logprobs", 0), ("logprobs", 1)]
        assert msgspec.json.decode(probabilities[0].json)["content"][0]["logprob"] == -0.25
        assert reading.finish == STOP

    def test_whole(self) -> None:
        """A whole completion where a stream was asked for gives the events that its stream would have."""
        assert read_whole(body_reader, recorded("openai_whole.json")) == Reading(
            events=[
                Started(model="gpt-4o-mini-2024-07-18", created_at=1741569952.0),
                TextDelta(text="All at once."),
                ToolCallStarted(call=0, id="call_1", name="get_time"),
                ToolCallDelta(call=0, arguments='{"zone": "CET"}'),
                UsageReported(input_tokens=19, output_tokens=10, reasoning_tokens=0, cached_input_tokens=0),
            ],
            finish=Finish(reason="tool_calls", native="tool_calls"),
        )

    def test_azure(self) -> None:
        """An opening chunk without choices, model or time says nothing."""
        assert read_whole(reader, recorded("azure_text.sse")) == Reading(
            events=[STARTED, TextDelta(text="Mill"), TextDelta(text=" race")],
            finish=Finish(reason="content_filter", native="content_filter"),
        )

    def test_deepseek(self) -> None:
        """Reasoning is no text, comments are nothing, and usage counts on the finish chunk too."""
        assert read_whole(reader, recorded("deepseek_reasoning.sse")) == Reading(
            events=[
                Started(model="deepseek-reasoner", created_at=1741570283.0),
                ReasoningDelta(text="Two and"),
                ReasoningDelta(text=" two."),
                TextDelta(text="Four"),
                TextDelta(text="."),
                UsageReported(input_tokens=14, output_tokens=7, reasoning_tokens=4, cached_input_tokens=0),
            ],
            finish=Finish(reason="length", native="length"),
        )

    def test_openrouter(self) -> None:
        """An error inside a 200 ends the answer after what came before it, with the upstream's words and status."""
        reading = read_whole(reader, recorded("openrouter_error.sse"))
        assert reading.events[1:] == [ReasoningDelta(text="Hm"), TextDelta(text="Half an")]
        assert reading.failure == ("upstream_error", "Provider disconnected unexpectedly", 502)

    def test_transformers(self) -> None:
        """No `[DONE]` after a finish reason is an end all the same, and what was not said of usage stays unsaid."""
        reading = read_whole(reader, recorded("transformers_text.sse"))
        assert reading.events[1:] == [TextDelta(text="Once"), TextDelta(text=" more")]
        assert reading.finish == STOP

    def test_compatible_tools(self) -> None:
        """Calls that all have number 0 or none, and arguments on the finish chunk, are kept apart."""
        reading = read_whole(reader, recorded("compatible_tools.sse"))
        assert arguments_of(reading.events) == {
            ("call_a", "get_weather"): '{"city":"Bern"}',
            ("call_b", "get_weather"): '{"city":"Basel"}',
            ("call_n_2", "get_time"): "{}",
            ("call_n_3", "get_date"): '{"zone":"CET"}',
            ("call_c", "get_tide"): '{"at":3}',
        }
        assert reading.finish == Finish(reason="tool_calls", native="tool_calls")


class TestEnds:
    """How an answer ends, said or unsaid."""

    def test_cut(self) -> None:
        """An end with neither a finish reason nor `[DONE]` is a cut, not a stop."""
        reading = read_whole(reader, data(text("Half")))
        assert reading.events == [HERE, TextDelta(text="Half")]
        assert reading.failure == ("upstream_cut", "the stream ended before the answer did", 502)

    def test_nothing(self) -> None:
        """An empty body is a cut too."""
        assert read_whole(reader, b"").failure == ("upstream_cut", "the stream ended before the answer did", 502)

    def test_done_alone(self) -> None:
        """`[DONE]` with no finish reason before it is a cut: none is invented for an answer that was broken off."""
        reading = read_whole(reader, data(text("x"), b"[DONE]"))
        assert reading.failure == ("upstream_cut", "the stream ended before the answer did", 502)

    def test_done_without_an_answer(self) -> None:
        """`[DONE]` after nothing at all is no answer."""
        reading = read_whole(reader, data(b"[DONE]"))
        assert reading.events == []
        assert reading.failure is not None
        assert reading.failure[0] == "upstream_invalid"

    def test_done_ends_the_reading(self) -> None:
        """What follows `[DONE]` is not read, in the same piece or a later one."""
        answer = OpenAIReader(model="m", now=NOW)
        events = answer.feed(data(text("x"), b"[DONE]", text("y")))
        assert answer.done
        assert events + answer.feed(data(text("z"))) + answer.flush() == [HERE, TextDelta(text="x")]

    def test_done_without_a_blank_line(self) -> None:
        """`[DONE]` that the server sends as its very last bytes counts."""
        assert read_whole(reader, data(text("x"), delta("stop")) + b"data: [DONE]").finish == STOP

    def test_empty_answer(self) -> None:
        """An answer without content that says why is whole, and started."""
        assert read_whole(reader, data(delta("stop"))) == Reading(events=[HERE], finish=STOP)

    @pytest.mark.parametrize(
        ("word", "reason"),
        [
            ("stop", "stop"),
            ("length", "length"),
            ("tool_calls", "tool_calls"),
            ("function_call", "tool_calls"),
            ("content_filter", "content_filter"),
            ("model_length", "length"),
            ("eos_token", "stop"),
        ],
    )
    def test_reasons(self, word: str, reason: Any) -> None:
        """Each finish reason has its common word; an unknown one is "stop", and the native word is kept."""
        assert read_whole(reader, data(text("x"), delta(word))).finish == Finish(reason=reason, native=word)

    @pytest.mark.parametrize("word", ["error", "abort", "insufficient_system_resource"])
    def test_broken_reasons(self, word: str) -> None:
        """A finish reason that says the answer is broken is a failure, even before `[DONE]`."""
        reading = read_whole(reader, data(text("x"), delta(word), b"[DONE]"))
        assert reading.failure == ("upstream_error", f"the answer broke off: {word}", 502)

    def test_empty_reason(self) -> None:
        """An empty finish reason is none."""
        assert read_whole(reader, data(delta("", content="x"))).failure is not None

    def test_one_choice_of_two_open(self) -> None:
        """Without `[DONE]` the answer is whole only when every choice that began has ended."""
        other = {"choices": [{"index": 1, "delta": {"content": "b"}}]}
        assert read_whole(reader, data(text("a"), other, delta("stop"))).failure is not None


class TestContent:
    """What a chunk may hold."""

    def test_text_on_the_finish_chunk(self) -> None:
        """Text beside the finish reason is not lost."""
        assert read_whole(reader, data(delta("stop", content="all"))).events == [HERE, TextDelta(text="all")]

    @pytest.mark.parametrize(
        "fields", [{"reasoning": "R"}, {"reasoning_content": "R"}, {"reasoning_content": "R", "reasoning": "R"}]
    )
    def test_reasoning(self, fields: dict[str, str]) -> None:
        """Reasoning under either name, or under both, comes once."""
        assert read_whole(reader, data(text("a"), delta(**fields, content="b"))).events[2:] == [
            ReasoningDelta(text="R"),
            TextDelta(text="b"),
        ]

    def test_parts(self) -> None:
        """Content in parts gives text and reasoning, and a part of another kind as it is."""
        parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Hi"}]
        reading = read_whole(reader, data(delta(content=[*parts, {"type": "reference", "reference_ids": [1]}])))
        assert reading.events[1:] == [
            ReasoningDelta(text="Hm"),
            TextDelta(text="Hi"),
            Opaque(kind="content", json='{"type":"reference","reference_ids":[1]}'),
        ]

    def test_annotations(self) -> None:
        """What has no event of its own passes through, beside text that is not held up by it."""
        reading = read_whole(reader, data(text("a"), delta(content="b", annotations=[{"type": "url_citation"}])))
        assert reading.events[2:] == [
            TextDelta(text="b"),
            Opaque(kind="annotations", json='[{"type":"url_citation"}]'),
        ]

    def test_old_function_call(self) -> None:
        """The older `function_call` is a tool call."""
        calls = [delta(function_call={"name": "f", "arguments": ""}), delta(function_call={"arguments": "{}"})]
        assert arguments_of(read_whole(reader, data(*calls)).events) == {("call_n_0", "f"): "{}"}

    def test_call_without_a_name(self) -> None:
        """A call that never gets a name can't be made, so the answer is invalid."""
        reading = read_whole(reader, data(called({"index": 0, "function": {"arguments": "{}"}}, finish="tool_calls")))
        assert reading.failure == ("upstream_invalid", "a tool call came without a name", 502)


class TestUsage:
    """Usage is read wherever it stands."""

    def test_repeated(self) -> None:
        """Figures that come again unchanged are told once, changed ones again."""
        usage = {"prompt_tokens": 3, "completion_tokens": 1}
        chunks = [
            text("a") | {"usage": usage},
            text("b") | {"usage": usage},
            {"choices": [], "usage": {**usage, "completion_tokens": 2}},
        ]
        assert read_whole(reader, data(*chunks)).events == [
            HERE,
            TextDelta(text="a"),
            UsageReported(input_tokens=3, output_tokens=1),
            TextDelta(text="b"),
            UsageReported(input_tokens=3, output_tokens=2),
        ]

    @pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": -1}, "many", [1]])
    def test_unreadable(self, usage: Any) -> None:
        """Usage that says nothing, or nothing that can be believed, is no usage, and costs no text."""
        assert read_whole(reader, data(text("a") | {"usage": usage}, text("b"))).events == [
            HERE,
            TextDelta(text="a"),
            TextDelta(text="b"),
        ]


class TestErrors:
    """Errors inside a 200."""

    @pytest.mark.parametrize(
        ("payload", "message", "status"),
        [
            ({"error": {"message": "boom", "type": "server_error", "code": None}}, "boom", 502),
            ({"error": {"message": "slow down", "code": 429}}, "slow down", 429),
            ({"error": {"message": "busy", "code": 529}}, "busy", 529),
            ({"error": {"message": "no key", "code": 401}}, "no key", 502),
            ({"error": "boom"}, "boom", 502),
            ({"error": {"type": "odd"}}, "an error without a message", 502),
            ({"object": "error", "message": "boom", "code": 400}, "boom", 502),
            ({"message": {"error": "boom"}}, "boom", 502),
        ],
    )
    def test_error(self, payload: Any, message: str, status: int) -> None:
        """An error object ends the answer after the text before it; a status in it is the error's."""
        reading = read_whole(reader, data(text("a")) + b"event: error\n" + data(payload, b"[DONE]"))
        assert reading.events == [HERE, TextDelta(text="a")]
        assert reading.failure == ("upstream_error", message, status)

    def test_error_as_a_body(self) -> None:
        """An error as the whole JSON of a 200 is told as well."""
        assert read_whole(body_reader, b'{"error": {"message": "boom"}}').failure == ("upstream_error", "boom", 502)

    @pytest.mark.parametrize("nothing", [None, {}, "", False])
    def test_no_error(self, nothing: Any) -> None:
        """An empty `error` field is none."""
        assert read_whole(reader, data(text("a") | {"error": nothing}, delta("stop"))).finish == STOP


class TestUntidy:
    """JSON that is not quite right."""

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"choices":[{"index":"0","delta":{"content":"x"},"finish_reason":"stop"}]}',
            b'{"choices":[{"index":0.0,"delta":{"content":"x"},"finish_reason":"stop"}]}',
            b'{"choices":[{"index":null,"delta":{"content":"x"},"finish_reason":"stop"}],"usage":null}',
            b'{"choices":[{"delta":{"content":"x"},"finish_reason":"stop","logprobs":null}],"odd":NaN}',
            b'{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"odd":"\xff"}',
            b'{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"odd":"\\ud83d"}',
            b'{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"created":"soon","model":7}',
            b'{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"created":1%s}' % (b"0" * 400),
        ],
    )
    def test_forgiven(self, payload: bytes) -> None:
        """Numbers in quotes, nulls, NaN, broken text and odd extras do not cost the answer."""
        assert read_whole(reader, data(payload)) == Reading(events=[HERE, TextDelta(text="x")], finish=STOP)

    def test_broken_text(self) -> None:
        """Text that is not UTF-8, and half a surrogate pair, become U+FFFD; nothing else is lost."""
        payloads = (b'{"choices":[{"delta":{"content":"a\xffb"}}]}', b'{"choices":[{"delta":{"content":"c\\ud83dd"}}]}')
        events = read_whole(reader, data(*payloads)).events
        assert events == [HERE, TextDelta(text="a\ufffdb"), TextDelta(text="c\ufffdd")]

    def test_line_separators(self) -> None:
        """U+2028, NUL and the like in a text are text."""
        assert read_whole(reader, data(text("a\u2028b\u0000c"))).events == [HERE, TextDelta(text="a\u2028b\u0000c")]

    @pytest.mark.parametrize("payload", [{}, {"choices": []}, {"choices": None}, {"type": "ping"}])
    def test_nothing_said(self, payload: Any) -> None:
        """A payload that says nothing is passed over."""
        assert read_whole(reader, data(text("a"), payload, delta("stop"))).finish == STOP

    @pytest.mark.parametrize(
        "payload",
        [b"hello", b"{", b"[1]", b"7", b'{"choices":7}', b'{"choices":[{"delta":{"content":0}}]}', b"[" * 100_000],
    )
    def test_not_the_format(self, payload: bytes) -> None:
        """What can't be read is a named failure, after the events before it."""
        reading = read_whole(reader, data(text("a"), payload))
        assert reading.events == [HERE, TextDelta(text="a")]
        assert reading.failure is not None
        assert reading.failure[0] == "upstream_invalid"
