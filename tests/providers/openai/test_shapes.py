"""The short way of reading chunks that look alike: it never says anything else than the long one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.reading import NOW, Reading, cuts, read

from tailrace.events import Event, TextDelta
from tailrace.providers.openai.chunks import OpenAIReader
from tailrace.providers.openai.payloads import GLANCES
from tailrace.providers.openai.shapes import Shape, payloads_of

HEAD: Final = b'{"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":'
TAIL: Final = b'},"finish_reason":null}],"usage":null}'

# What a text's place may hold: JSON strings, and what only looks like one
TEXTS: Final = st.one_of(
    st.text(max_size=6).map(msgspec.json.encode),
    st.text(alphabet='a",\\n\u00e9\n\r]{', max_size=6).map(lambda text: f'"{text}"'.encode()),
    st.binary(max_size=4).map(lambda text: b'"%b"' % text),
    st.sampled_from([b'""', b'"\\"', b'"a\\"', b'","', b'"\\ud800"', b'"\\ud83d\\ude00"', b"null", b"1", b'"a","b"']),
)
TAILS: Final = st.sampled_from(
    [TAIL, TAIL, TAIL, TAIL.replace(b"null}]", b'"stop"}]'), TAIL[:-1] + b',"obfuscation":"a"}', b"}]}\xff"]
)
HEADS: Final = st.sampled_from(
    [HEAD, HEAD, HEAD, HEAD.replace(b":1,", b":2,"), HEAD.replace(b'"index":0', b'"index":1')]
)
BLANKS: Final = st.sampled_from([b"\n\n", b"\n\n", b"\n\n", b"\r\n\r\n", b"\n", b"\n\n\n"])


class LongReader(OpenAIReader):
    """Reads every chunk in full."""

    def _note_shape(self, *_: Any) -> None:
        """There is no short way."""


class CountingReader(OpenAIReader):
    """Counts what it reads in full."""

    read_in_full = bytes_in_full = 0

    def _read(self, data: bytes, events: list[Event]) -> None:
        self.read_in_full += 1
        self.bytes_in_full += len(data)
        super()._read(data, events)


def chunk(text: str, *, head: bytes = HEAD, tail: bytes = TAIL) -> bytes:
    return b"data: " + head + msgspec.json.encode(text) + tail + b"\n\n"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Chunks that look alike but for some."""
    frames = st.builds(lambda *parts: b"data: %b%b%b%b" % parts, HEADS, TEXTS, TAILS, BLANKS)
    alike = st.integers(0, 40).map(lambda count: b"".join(chunk(f"{number}") for number in range(count)))
    return b"".join(draw(st.lists(frames | alike, max_size=12)))


def answer(make: type[OpenAIReader], pieces: Sequence[bytes], *, keeps_frames: bool) -> Reading:
    def begin() -> OpenAIReader:
        reader = make(model="m", now=NOW, nonce="n")
        reader.keeps_frames = keeps_frames
        return reader

    return read(begin, [chunk("a"), *pieces])


def shape_of(payload: bytes) -> Shape | None:
    return Shape.learn(payload, GLANCES.decode(payload).choices[0])


@given(data=st.data(), body=bodies(), keeps_frames=st.booleans())
def test_any_chunks_cut_anywhere(data: st.DataObject, body: bytes, keeps_frames: bool) -> None:
    """Whatever comes, in whatever pieces, the short way and the long one give the same events, end and failure."""
    pieces = data.draw(cuts(body))
    expected = answer(LongReader, pieces, keeps_frames=keeps_frames)
    assert answer(OpenAIReader, pieces, keeps_frames=keeps_frames) == expected


@given(texts=st.lists(TEXTS, min_size=1, max_size=5), rest=st.sampled_from([b"", b"\n", b": \n\n", b"data: x\n\n"]))
def test_what_a_shape_reads(texts: list[bytes], rest: bytes) -> None:
    """What a shape finds texts in is read so in full too, a text for each frame."""
    shape = shape_of(HEAD + b'"a"' + TAIL)
    assert shape is not None
    frames = b"".join(b"data: " + HEAD + text + TAIL + b"\n\n" for text in texts) + rest
    found, end = shape.read_all(frames)
    reader = LongReader(model="m", now=NOW)
    reader.feed(chunk("a"))
    events: list[Event] = reader.feed(frames[:end])
    assert events == [TextDelta(text=text) for text in found]
    assert payloads_of(frames[:end])[: len(found)] == [HEAD + text + TAIL for text in texts[: len(found)]]
    assert not shape.read_one(frames) or [shape.read_one(frames)] == found


@pytest.mark.parametrize("count", [1, 2, 3, 100])
@pytest.mark.parametrize("text", ["word", "naïve", "line\n", "日本", 'a "word"', "a\\"])
@pytest.mark.parametrize("rest", [b"", b"data: {", b"data: [DONE]\n\n", b"\n"])
def test_chunks_that_look_alike(text: str, count: int, rest: bytes) -> None:
    """Plain chunks take the short way, one or many in a read, whatever follows them."""
    shape = shape_of(HEAD + b'"a"' + TAIL)
    assert shape is not None
    frames = chunk(text) * count
    assert shape.read_all(frames + rest) == ([text] * count, len(frames))
    assert shape.read_one(frames) == (text if count == 1 else "")
    assert shape.found


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"choices":[{"delta":{"content":"b"},"id":"b"}]}', id="the same after it"),
        pytest.param(b'{"id":"b","choices":[{"delta":{"content":"b"}}]}', id="the same before it"),
        pytest.param(b'{"choices":[{"delta":{"content":"x\\n"}}]}', id="escaped"),
        pytest.param(b'{"choices":[{"delta":{"content":"b","content":"b"}}]}', id="said twice"),
        pytest.param(b'{"choices":[{"delta":{"content":"content"}}]}', id="its own name"),
        pytest.param(b'{"choices":[{"delta":{"content":"choices"}}]}', id="another's name"),
        pytest.param(b'{"choices":\n[{"delta":{"content":"b"}}]}', id="several lines"),
        pytest.param('{"choices":[{"delta":{"content":"b"}}],"id":"é"}'.encode(), id="not ASCII"),
    ],
)
def test_what_is_learned(payload: bytes) -> None:
    """A shape is learned only where the text's place is certain; what is learned then puts a text into that place."""
    shape = shape_of(payload)
    if shape is not None:
        other = payload.replace(b'"content":"b"', b'"content":"c"')
        assert shape.read_one(b"data: " + other + b"\n\n") == "c"


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(lambda size: b"a" * size + b'\\"b', id="a quote at the end of a long text"),
        pytest.param(lambda size: b"a" * size + b"\\", id="a text that has no end"),
        pytest.param(lambda size: b'\\"' * (size // 2), id="many quotes"),
        pytest.param(lambda size: b'"' * size, id="quotes that end the text"),
        pytest.param(lambda size: b" " * size, id="spaces"),
    ],
)
def test_odd_bytes(odd: Callable[[int], bytes]) -> None:
    """Whatever stands in a text's place, the time for it grows as its length does."""
    shape = shape_of(HEAD + b'"a"' + TAIL)
    assert shape is not None

    def cost(size: int) -> float:
        data = b"data: " + HEAD + b'"' + odd(size) + b'"' + TAIL + b"\n\n"
        began = time.process_time()
        for _ in range(10):
            shape.read_all(data)
        return time.process_time() - began

    assert min(cost(1 << 17) for _ in range(3)) <= 40 * max(1e-4, min(cost(1 << 13) for _ in range(3)))


def test_ever_new_shapes() -> None:
    """Chunks that all differ are read in full, with nothing lost."""
    reader = CountingReader(model="m", now=NOW)
    frames = [chunk("a", tail=TAIL[:-1] + b',"obfuscation":"%d"}' % number) for number in range(30)]
    events = [event for frame in frames for event in reader.feed(frame)]
    assert (events[1:], reader.read_in_full) == ([TextDelta(text="a")] * 30, 30)


def test_a_shape_that_changes_now_and_then() -> None:
    """A server that stamps each chunk with the second is read in full once a second, for as long as it goes on."""
    reader = CountingReader(model="m", now=NOW)
    heads = [HEAD.replace(b":1,", b":%d," % second) for second in range(20)]
    events = [event for head in heads for word in "abc" for event in reader.feed(chunk(word, head=head))]
    assert events[1:] == [TextDelta(text=word) for word in "abc"] * 20
    assert reader.read_in_full == 20 + 1


def test_a_fast_answer() -> None:
    """Of reads with many chunks only the first few and the last are read in full, wherever they are cut."""
    reader = CountingReader(model="m", now=NOW)
    words = [f"word {number}" for number in range(1000)]
    body = b"".join(map(chunk, words))
    events = [event for start in range(0, len(body), 16384) for event in reader.feed(body[start : start + 16384])]
    assert events[1:] == [TextDelta(text=word) for word in words]
    assert reader.bytes_in_full < len(body) / 8
