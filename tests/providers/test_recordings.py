"""The bytes of answers in every format: cut, lost, dressed differently, or no answers at all."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.reading import NOW, WIRE, check_every_cut, check_every_loss, cuts, read, read_whole, recorded
from tests.providers.speaking import FORMATS

from tailrace.events import TextDelta
from tailrace.providers.answers import AnswerReader
from tailrace.providers.anthropic.events import AnthropicReader
from tailrace.providers.framing import BodyFraming, Framing
from tailrace.providers.ollama.lines import OllamaReader
from tailrace.providers.openai.chunks import OpenAIReader
from tailrace.providers.openai_responses.events import OpenAIResponsesReader

STREAMS: Final = sorted(path.name for path in WIRE.iterdir() if path.suffix in {".sse", ".ndjson"})
CODES: Final = {"upstream_cut", "upstream_invalid", "upstream_error"}

WORDS: Final = {
    "openai": (
        *("choices", "delta", "message", "index", "content", "tool_calls", "function", "name", "arguments"),
        *("finish_reason", "logprobs", "annotations", "created", "model", "usage", "error"),
    ),
    "openai_responses": (
        *("type", "response.output_text.delta", "response.output_item.added", "response.output_item.done"),
        *("response.function_call_arguments.delta", "response.completed", "item", "response", "output", "output_index"),
        *("delta", "logprobs", "function_call", "reasoning", "message", "name", "arguments", "status", "error"),
    ),
    "anthropic": (
        "type",
        "message_start",
        "message",
        "index",
        "delta",
        "content_block",
        "text",
        "usage",
        "stop_reason",
    ),
    "ollama": ("message", "content", "thinking", "tool_calls", "function", "name", "arguments", "done", "eval_count"),
}
"""Names of each format, to be put where they do not belong."""

PIECES: Final = {
    "openai": (
        b"data: ",
        b"\n\n",
        b'{"choices":[{"delta":',
        b'{"content":"x"}',
        b'{"tool_calls":[{"function":{"name":"f","arguments":{}}}]}',
        b',"finish_reason":"stop"}]}',
        b'{"error":',
        b"[DONE]",
        b'"\\ud83d"',
        b"null",
    ),
    "openai_responses": (
        b"data: ",
        b"\n\n",
        b'{"type":"response.output_text.delta","output_index":0,"delta":"x"}',
        b'{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":',
        b'{"type":"response.output_item.done","item":{"type":"reasoning","encrypted_content":"e"}}',
        b'{"type":"response.function_call_arguments.delta","item_id":"i","delta":"{"}',
        b'{"type":"response.completed","response":{"output":[{"type":"message","content":',
        b'{"object":"response","status":"completed","output":',
        b"[DONE]",
        b'"\\ud83d"',
        b"null",
        b"}}",
    ),
    "anthropic": (
        b"data: ",
        b"\n\n",
        b'{"type":"message_start","message":{}}',
        b'{"type":"content_block_start","content_block":{"type":"tool_use","input":',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"content_block_stop"}',
        b'{"type":"message_stop"}',
        b'"\\ud83d"',
        b"[DONE]",
        b"}}",
    ),
    "ollama": (
        b"\n",
        b'{"message":{"content":"x"},"done":',
        b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":',
        b"true}\n",
        b"}}]}}\n",
        b'"\\ud83d"',
        b'{"error":',
    ),
}
"""Torn pieces of each format."""


def format_of(recording: str) -> str:
    """The format that a recording is in; what names none is a server that is compatible with OpenAI."""
    kinds = [kind for kind in FORMATS if recording.startswith(f"{kind}_")]
    return max(kinds, key=len, default="openai")


def reader(kind: str, framing: Framing | None = None) -> AnswerReader:
    """A reader for answers in this format."""
    match kind:
        case "anthropic":
            return AnthropicReader(model="m", now=NOW, framing=framing)
        case "ollama":
            return OllamaReader(model="m", now=NOW, nonce="n", framing=framing)
        case "openai_responses":
            return OpenAIResponsesReader(model="m", now=NOW, nonce="n", framing=framing)
        case _:
            return OpenAIReader(model="m", now=NOW, nonce="n", framing=framing)


def any_json(words: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """JSON values of any shape, with these words as keys and values."""
    known = st.sampled_from(words)
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text() | known,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known | st.text(), inner, max_size=4),
        max_leaves=12,
    )


def framed(kind: str, payload: bytes) -> bytes:
    """A payload as this format frames it."""
    return payload + b"\n" if kind == "ollama" else b"data: " + payload + b"\n\n"


@pytest.mark.parametrize("name", STREAMS)
def test_cut_anywhere(name: str) -> None:
    """A recording cut at any byte, or into single bytes, reads the same."""
    check_every_cut(lambda: reader(format_of(name)), recorded(name))


@pytest.mark.parametrize("name", STREAMS)
def test_lost_anywhere(name: str) -> None:
    """A recording that ends at any byte gives the events until there, and is whole only where it said so."""
    check_every_loss(lambda: reader(format_of(name)), recorded(name))


@given(data=st.data())
@pytest.mark.parametrize("name", STREAMS)
def test_any_chunking(name: str, data: st.DataObject) -> None:
    """Any number of cuts at any places gives the same events."""
    body = recorded(name)
    pieces = data.draw(cuts(body))
    assert read(lambda: reader(format_of(name)), pieces) == read_whole(lambda: reader(format_of(name)), body)


@pytest.mark.parametrize("name", [name for name in STREAMS if name.endswith(".sse")])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_event_streams_dressed_differently(name: str, line_end: bytes) -> None:
    """CRLF, a lone CR, a BOM, comments and event names change nothing."""
    body = recorded(name)
    dressed = b"\xef\xbb\xbf: hello\n\n" + body.replace(b"data: ", b": ping\nevent: e\ndata: ")
    expected = read_whole(lambda: reader(format_of(name)), body)
    assert read_whole(lambda: reader(format_of(name)), dressed.replace(b"\n", line_end)) == expected


@pytest.mark.parametrize("name", [name for name in STREAMS if name.endswith(".ndjson")])
def test_lines_dressed_differently(name: str) -> None:
    """CRLF, blank lines, a BOM and a last line without an end change nothing."""
    body = recorded(name)
    dressed = b"\xef\xbb\xbf" + body.replace(b"\n", b"\r\n\r\n").rstrip()
    assert read_whole(lambda: reader("ollama"), dressed) == read_whole(lambda: reader("ollama"), body)


@given(data=st.data())
@pytest.mark.parametrize("kind", FORMATS)
def test_garbage(kind: str, data: st.DataObject) -> None:
    """Whatever bytes come, reading never raises, and the end is a Finish or a named failure."""
    pieces = data.draw(st.lists(st.binary(max_size=40) | st.sampled_from(PIECES[kind]), max_size=20))
    for reading in (read(lambda: reader(kind), pieces), read(lambda: reader(kind, BodyFraming()), pieces)):
        assert reading.finish or (reading.failure and reading.failure[0] in CODES)


@given(data=st.data())
@pytest.mark.parametrize("kind", FORMATS)
def test_any_json(kind: str, data: st.DataObject) -> None:
    """JSON of any shape, with the format's own names in the wrong places, never raises."""
    payload = json.dumps(data.draw(any_json(WORDS[kind]))).encode()
    streamed = read_whole(lambda: reader(kind), framed(kind, payload))
    whole = read_whole(lambda: reader(kind, BodyFraming()), payload)
    for reading in (streamed, whole):
        assert reading.finish or (reading.failure and reading.failure[0] in CODES)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "openai_responses"])
@pytest.mark.parametrize("tail", [[b"x" * 65536] * 17, [b"x" * (1 << 20), b"xxxxxxx\n"], [b"x" * (1 << 21) + b"\n\n"]])
def test_endless_line(kind: str, tail: list[bytes]) -> None:
    """A line of over 1 MiB is refused as soon as it is that long, after the events of the reads before it."""
    reading = read(lambda: reader(kind), [FORMATS[kind].half, b"data: ", *tail])
    assert [event.text for event in reading.events if isinstance(event, TextDelta)] == ["Half"]
    assert reading.failure is not None
    assert reading.failure[0] == "upstream_invalid"
    assert "1048576" in reading.failure[1]


def test_endless_body() -> None:
    """A whole body of over 8 MiB is refused while it comes."""
    reading = read(lambda: reader("openai", BodyFraming()), [b" " * 65536] * 129)
    assert reading.failure == ("upstream_invalid", "the body is longer than 8388608 bytes", 502)
