"""Reading Ollama's answers: the recordings, and every way in which servers misbehave."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.providers.reading import NOW, Reading, read_whole, recorded

from tailrace.events import (
    Opaque,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.providers.base import Finish
from tailrace.providers.ollama.lines import OllamaReader

HERE = Started(model="m", created_at=NOW)
USAGE = UsageReported(input_tokens=26, output_tokens=8)


def reader() -> OllamaReader:
    return OllamaReader(model="m", now=NOW, nonce="n")


def lines(*values: Any) -> bytes:
    """Lines of these values: bytes as they are, anything else as JSON."""
    texts = [value if isinstance(value, bytes) else msgspec.json.encode(value) for value in values]
    return b"".join(text + b"\n" for text in texts)


def said(**message: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", **message}, "done": False}


def done(reason: str | None = "stop", **fields: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": reason, **fields}


class TestRecordings:
    """Each recording gives exactly these events."""

    def test_text(self) -> None:
        """Text comes line by line, with the upstream's model and time; U+2028 in it is no line end."""
        started = Started(model="qwen3:4b", created_at=1761498924.1)
        assert read_whole(reader, recorded("ollama_text.ndjson")) == Reading(
            events=[
                started,
                TextDelta(text="The"),
                TextDelta(text=" brook 小川 🌊"),
                TextDelta(text="\u2028runs."),
                USAGE,
            ],
            finish=Finish(reason="stop", native="stop"),
        )

    def test_tools(self) -> None:
        """Thinking is reasoning, tool calls come whole, and a stop after them is told as what it is."""
        assert read_whole(reader, recorded("ollama_tools.ndjson")).events[1:] == [
            ReasoningDelta(text="I need"),
            ReasoningDelta(text=" the weather."),
            ToolCallStarted(call=0, id="call_9q", name="get_weather"),
            ToolCallDelta(call=0, arguments='{"city":"Bern","days":2}'),
            ToolCallStarted(call=1, id="call_n_1", name="get_time"),
            ToolCallDelta(call=1, arguments="{}"),
            USAGE,
        ]
        finish = read_whole(reader, recorded("ollama_tools.ndjson")).finish
        assert finish == Finish(reason="tool_calls", native="stop")

    def test_error(self) -> None:
        """An error in mid-stream ends the answer after the text before it."""
        reading = read_whole(reader, recorded("ollama_error.ndjson"))
        assert reading.events[1:] == [TextDelta(text="Half")]
        message = "an error was encountered while running the model: CUDA error"
        assert reading.failure == ("upstream_error", message, 502)

    def test_whole(self) -> None:
        """A whole answer where a stream was asked for is one line that says all."""
        assert read_whole(reader, lines(done() | said(content="All.") | {"done": True})) == Reading(
            events=[HERE, TextDelta(text="All.")], finish=Finish(reason="stop", native="stop")
        )


class TestEnds:
    """How an answer ends, said or unsaid."""

    @pytest.mark.parametrize("body", [b"", lines(said(content="Half"))])
    def test_cut(self, body: bytes) -> None:
        """An end without a line that says `done` is a cut, not a stop."""
        assert read_whole(reader, body).failure == ("upstream_cut", "the stream ended before the answer did", 502)

    @pytest.mark.parametrize(
        ("word", "reason"),
        [("stop", "stop"), ("length", "length"), ("load", "stop"), ("novel", "stop"), (None, "stop")],
    )
    def test_reasons(self, word: str | None, reason: Any) -> None:
        """Each reason has its common word, an unknown one or none is "stop", and the native word is kept."""
        assert read_whole(reader, lines(said(content="x"), done(word))).finish == Finish(reason=reason, native=word)

    def test_done_ends_the_reading(self) -> None:
        """What follows the last line is not read."""
        answer = reader()
        events = answer.feed(lines(said(content="x"), done(), said(content="y")))
        assert answer.done
        assert events + answer.feed(lines(said(content="z"))) == [HERE, TextDelta(text="x")]

    def test_usage_in_part(self) -> None:
        """What was not said of usage stays unsaid."""
        assert read_whole(reader, lines(done(eval_count=3, prompt_eval_count=None))).events == [
            HERE,
            UsageReported(output_tokens=3),
        ]

    @pytest.mark.parametrize("count", [-1, "many", [1]])
    def test_unreadable_usage(self, count: Any) -> None:
        """Usage that can't be believed is no usage, and costs no text."""
        assert read_whole(reader, lines(done(eval_count=count))).events == [HERE]


class TestContent:
    """What a line may hold."""

    def test_all_at_once(self) -> None:
        """Thinking, text and a call on one line come in that order."""
        call = {"function": {"name": "f", "arguments": {"a": 1.50}}}
        reading = read_whole(reader, lines(said(content="x", thinking="T", tool_calls=[call])))
        assert [type(event) for event in reading.events[1:]] == [
            ReasoningDelta,
            TextDelta,
            ToolCallStarted,
            ToolCallDelta,
        ]

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [(b'{"a": 1.50}', '{"a": 1.50}'), (b'"{\\"a\\": 1}"', '{"a": 1}'), (b"{}", "{}"), (b"null", "{}")],
    )
    def test_arguments(self, arguments: bytes, expected: str) -> None:
        """Arguments pass unchanged, and out of the string that some servers put them in."""
        line = b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":%b}}]}}' % arguments
        assert read_whole(reader, lines(line)).events[2:] == [ToolCallDelta(call=0, arguments=expected)]

    def test_call_without_arguments(self) -> None:
        """A call without arguments has an empty object."""
        line = said(tool_calls=[{"function": {"name": "f"}}])
        assert read_whole(reader, lines(line)).events[2:] == [ToolCallDelta(call=0, arguments="{}")]

    @pytest.mark.parametrize("when", [None, "", "soon", 7, "9999-99-99T00:00:00Z"])
    def test_odd_time(self, when: Any) -> None:
        """A time that can't be read is replaced by ours."""
        assert read_whole(reader, lines(said(content="x") | {"created_at": when})).events[0] == HERE

    @pytest.mark.parametrize(
        ("error", "message"),
        [("boom", "boom"), ({"message": "boom"}, "boom"), ({"x": 1}, "an error without a message")],
    )
    def test_error(self, error: Any, message: str) -> None:
        """An error of any shape is an error."""
        assert read_whole(reader, lines({"error": error})).failure == ("upstream_error", message, 502)


class TestUntidy:
    """JSON that is not quite right."""

    @pytest.mark.parametrize(
        "line",
        [
            b'{"message":{"content":"x"},"done":null}',
            b'{"message":{"content":"x","thinking":null,"tool_calls":null},"done":false}',
            b'{"message":{"content":"x"},"done":"false"}',
            b'{"message":{"content":"x"},"odd":[NaN,"\\ud83d","\xff"]}',
        ],
    )
    def test_forgiven(self, line: bytes) -> None:
        """Nulls, words for truth, NaN and broken text do not cost the answer."""
        assert read_whole(reader, lines(line)).events == [HERE, TextDelta(text="x")]

    @pytest.mark.parametrize(
        "line",
        [b"hello", b"{", b"[1]", b"data: {}", b'{"message":7}', b'{"message":{"tool_calls":[{}]}}', b"[" * 100_000],
    )
    def test_not_the_format(self, line: bytes) -> None:
        """What can't be read is a named failure, after the events before it."""
        reading = read_whole(reader, lines(said(content="a"), line))
        assert reading.events == [HERE, TextDelta(text="a")]
        assert reading.failure is not None
        assert reading.failure[0] == "upstream_invalid"


def test_log_probabilities() -> None:
    """They are kept, in the shape that OpenAI's upstreams give them, also of a line that has nothing else."""
    probabilities = [{"token": "Hi", "logprob": -0.5}]
    first = {**said(content="Hi"), "logprobs": probabilities}
    bare = {**said(content=""), "logprobs": probabilities}
    kept = Opaque(kind="logprobs", json='{"content":[{"token":"Hi","logprob":-0.5}]}')
    events = read_whole(reader, lines(first, bare, done())).events
    assert events == [HERE, TextDelta(text="Hi"), kept, kept]
