"""Frames that are kept for a client of the same format: the upstream's own bytes, and the events that they come to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.reading import NOW, check_every_cut, read, read_whole, recorded
from tests.vendor import as_payloads, chat_chunks, usage_chunk, write_events

from tailrace.events import USAGE_FRAME, WHOLE_FRAME, Event, Opaque, Started, TextDelta, UsageReported, is_bare
from tailrace.providers.framing import BodyFraming
from tailrace.providers.openai.chunks import OpenAIReader

RECORDINGS = [
    "openai_text.sse",
    "openai_tools.sse",
    "openai_two_choices.sse",
    "openai_refusal.sse",
    "openrouter_error.sse",
    "deepseek_reasoning.sse",
    "azure_text.sse",
    "compatible_tools.sse",
    "transformers_text.sse",
]


def make() -> OpenAIReader:
    return OpenAIReader(model="m", now=NOW, nonce="n")


def make_keeping() -> OpenAIReader:
    reader = make()
    reader.keeps_frames = True
    return reader


def frames_of(events: Iterable[Event]) -> list[bytes]:
    return [event.frame for event in events if event.frame]


def without_frames(events: Iterable[Event]) -> list[Event]:
    return [msgspec.structs.replace(event, frame=None) for event in events if not is_bare(event)]


def payloads_of(body: bytes) -> list[bytes]:
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [line for line in lines if line != b"[DONE]"]


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_events_are_the_same(name: str) -> None:
    """With frames or without, a recording comes to the same events and the same end."""
    plain, kept = read_whole(make, recorded(name)), read_whole(make_keeping, recorded(name))
    assert without_frames(kept.events) == plain.events
    assert (kept.finish, kept.failure) == (plain.finish, plain.failure)


@pytest.mark.parametrize("name", RECORDINGS[:4])
def test_every_frame_is_kept(name: str) -> None:
    """The frames are the data of the upstream's events, each once and in order, without `[DONE]`."""
    assert frames_of(read_whole(make_keeping, recorded(name)).events) == payloads_of(recorded(name))


def test_wherever_it_is_cut() -> None:
    """However the bytes are cut, the frames are the same."""
    check_every_cut(make_keeping, recorded("openai_two_choices.sse"))


def test_every_field_there_is() -> None:
    """A stream with every field of the vendor's types, in every dress that the rules allow, is kept to the byte."""
    payloads = as_payloads([*chat_chunks(), usage_chunk()])
    reading = read_whole(make_keeping, write_events(payloads))
    assert reading.failure is None
    assert frames_of(reading.events) == payloads


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.text().filter(lambda name: name not in ("choices", "usage", "model", "created", "error", "message")),
    JSON,
    max_size=3,
)
DELTAS = st.fixed_dictionaries({"mood": JSON, "content": st.none() | st.text()})


@st.composite
def chunks(draw: st.DrawFn) -> dict[str, Any]:
    """One chunk with a delta and whatever else."""
    choice = {"index": draw(st.integers(0, 2)), "delta": draw(DELTAS), "finish_reason": None}
    return {**draw(FIELDS), "choices": [choice] if draw(st.booleans()) else []}


@given(chunks=st.lists(chunks(), max_size=12), sizes=st.lists(st.integers(1, 80), min_size=1), tidy=st.booleans())
def test_any_chunk_is_kept(chunks: list[dict[str, Any]], sizes: list[int], tidy: bool) -> None:
    """Whatever JSON the chunks hold, and however their bytes are cut: each is kept, and the text is what they say."""
    payloads = [json.dumps(chunk, ensure_ascii=tidy).encode("utf-8", "replace") for chunk in chunks]
    body = write_events(payloads)
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(body[at : at + size])
        at += size
    reading = read(make_keeping, pieces)
    assert frames_of(reading.events) == payloads
    assert without_frames(reading.events) == read(make, pieces).events


def test_only_where_they_are_wanted() -> None:
    """Nobody pays for frames that nobody reads."""
    events = read_whole(make, recorded("openai_text.sse")).events
    assert all(event.frame is None for event in events)


def test_the_last_event_has_the_frame() -> None:
    """Of a frame's several events the last has its bytes, the start never; nor usage, which the log does not get."""
    chunk = {"choices": [{"index": 0, "delta": {"reasoning": "Hm.", "content": "So"}}], "usage": {"prompt_tokens": 1}}
    frame = json.dumps(chunk).encode()
    start, thought, said, usage, bare = read_whole(make_keeping, b"data: " + frame + b"\n\n").events
    assert (start.frame, thought.frame, said.frame, usage.frame, bare.frame) == (b"", b"", b"", None, frame)
    assert isinstance(start, Started)
    assert isinstance(said, TextDelta)
    assert isinstance(usage, UsageReported)
    assert is_bare(bare)


def test_the_usage_chunk_is_told_apart() -> None:
    """The chunk that comes only because we asked for usage is marked as such."""
    events = read_whole(make_keeping, recorded("openai_text.sse")).events
    kinds = [event.kind for event in events if isinstance(event, Opaque)]
    assert kinds.count(USAGE_FRAME) == 1
    assert kinds[-1] == USAGE_FRAME


def test_a_document_is_kept_whole() -> None:
    """An answer that came as one document is kept behind its events, which are those of any whole answer."""
    body = recorded("openai_whole.json")

    def make_whole() -> OpenAIReader:
        reader = OpenAIReader(model="m", now=NOW, nonce="n", framing=BodyFraming())
        reader.keeps_frames = True
        return reader

    *events, last = read_whole(make_whole, body).events
    assert frames_of([*events, last]) == [body]
    assert isinstance(last, Opaque)
    assert last.kind == WHOLE_FRAME


def test_what_is_not_utf8() -> None:
    """Bytes that are not UTF-8 become U+FFFD, in text and in fields that nobody reads: clients stumble over them."""
    torn = b'data: {"x":"\xff","choices":[{"index":0,"delta":{"content":"a\xff"}}]}\n\n'
    hidden = b'data: {"x":"\xff","choices":[{"index":0,"delta":{"content":"b"}}]}\n\n'
    frames = frames_of(read_whole(make_keeping, torn + hidden).events)
    assert [json.loads(frame)["x"] for frame in frames] == ["\ufffd", "\ufffd"]
