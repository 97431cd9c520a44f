"""The contract of every dialect that streams frames: whole, safe, the same each time, resumable after any frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import READERS, STREAM_ID, Reader, encode_all

from tailrace.dialects import DIALECTS, Dialect
from tailrace.errors import RequestError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.sse import Decoder
from tailrace.streamlog import Ring, RingLog
from tailrace.web.cursors import parse_place
from tailrace.web.feed import Cursor

Batches: TypeAlias = list[list[Event]]

HARD = (
    "\r",
    "\n",
    "\r\n",
    "\n\n",
    "\0",
    "\u2028",
    "\u0085",
    "\ufeff",
    "\ud83d",
    "\ude00",
    "😀",
    "data: ",
    ": ",
    "id: 1\n",
)
ANY_TEXT = st.one_of(
    st.sampled_from(HARD),
    st.text(st.characters(exclude_categories=())),
    st.lists(st.sampled_from(HARD), max_size=6).map("".join),
)

TEXTS = st.builds(TextDelta, text=ANY_TEXT)
OTHERS = st.one_of(
    st.builds(ReasoningDelta, text=ANY_TEXT, signature=st.none() | ANY_TEXT),
    st.builds(RefusalDelta, text=ANY_TEXT),
    st.builds(ToolCallStarted, call=st.integers(0, 3), id=ANY_TEXT, name=ANY_TEXT),
    st.builds(ToolCallDelta, call=st.integers(0, 3), arguments=ANY_TEXT),
    st.builds(Opaque, kind=ANY_TEXT, json=ANY_TEXT),
)
STARTS = st.builds(Started, model=ANY_TEXT, created_at=st.floats(0, 2e9))
COUNTS = st.none() | st.integers(0, 2**31)
USAGES = st.builds(UsageReported, input_tokens=COUNTS, output_tokens=COUNTS, reasoning_tokens=COUNTS)
FINISHES = st.builds(Finished, reason=st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))
FAILURES = st.builds(Failed, code=st.sampled_from(["upstream_cut", "cancelled", "too_long"]), message=ANY_TEXT)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Any whole log: text mostly, anything else between, the meter's word and a terminal at the end."""
    content = draw(st.lists(TEXTS | TEXTS | OTHERS, max_size=30))
    return [draw(STARTS), *content, draw(USAGES), draw(FINISHES | FAILURES)]


@st.composite
def resumptions(draw: st.DrawFn) -> tuple[list[Event], int, Batches]:
    """A log, how much of it is there when a reader comes back, and in which batches the rest comes."""
    events = draw(logs())
    known = draw(st.integers(1, len(events)))
    batches: Batches = []
    rest = events[known:]
    while rest:
        size = draw(st.integers(1, len(rest)))
        batches.append(rest[:size])
        rest = rest[size:]
    return events, known, batches


@pytest.fixture(params=list(DIALECTS.values()), ids=list(DIALECTS), scope="module")
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


@pytest.fixture(params=[name for name in DIALECTS if DIALECTS[name].has_ids], scope="module")
def numbered(request: pytest.FixtureRequest) -> Dialect:
    """A format whose frames have ids: server-sent events."""
    return DIALECTS[request.param]


@pytest.fixture(params=[name for name in DIALECTS if not DIALECTS[name].has_ids], scope="module")
def lined(request: pytest.FixtureRequest) -> Dialect:
    """A format of lines, which have no ids."""
    return DIALECTS[request.param]


@pytest.fixture(scope="module")
def reader(dialect: Dialect) -> Reader:
    return READERS[dialect.name]


def entry_frames(dialect: Dialect, events: Sequence[Event]) -> list[bytes]:
    """The bytes of each entry by itself."""
    encoder = dialect.encoder(STREAM_ID)
    return [encoder.encode(seq, event) for seq, event in enumerate(events, 1)]


def is_finish(value: object) -> bool:
    """Whether some client would take a frame's data for the end of a whole answer."""
    if not isinstance(value, dict):
        return bool(value == "[DONE]")
    if value.get("type") == "finish" or "done_reason" in value:
        return True
    if value.get("type") in ("response.completed", "response.incomplete"):
        return True
    return "finish_reason" in value or any(choice["finish_reason"] for choice in value.get("choices", ()))


def drain(cursor: Cursor) -> bytes:
    """All that a cursor gives now."""
    pieces: list[bytes] = []
    while piece := cursor.take():
        pieces.append(piece)
    return b"".join(pieces)


def create_log(events: Sequence[Event]) -> RingLog:
    log = Ring().create(STREAM_ID)
    log.append(events)
    return log


@pytest.mark.parametrize(("events", "end"), [(WHOLE, "finished"), (BROKEN, "failed")])
def test_one_end(dialect: Dialect, reader: Reader, events: list[Event], end: str) -> None:
    """An answer ends once, with its last frame, and says truly how."""
    frames = reader.parse(encode_all(dialect, events))
    assert [reader.ending(frame) for frame in frames] == [None] * (len(frames) - 1) + [end]


@given(events=logs())
def test_a_failure_is_never_a_finish(dialect: Dialect, reader: Reader, events: list[Event]) -> None:
    """No stream of a log that failed holds [DONE] or anything that a client takes for a finish."""
    events = [*events[:-1], Failed(code="upstream_cut", message="cut")]
    frames = reader.parse(encode_all(dialect, events))
    assert [reader.ending(frame) for frame in frames if reader.ending(frame)] == ["failed"]
    assert not any(is_finish(frame.value) for frame in frames if reader.text(frame) is None)


@given(events=logs())
def test_each_frame_is_one_event(numbered: Dialect, events: list[Event]) -> None:
    """No value breaks a frame: each is one event, whose id is its entry's seq, and `.k` before an entry's last one."""
    for seq, written in enumerate(entry_frames(numbered, events), 1):
        frames = written.split(b"\n\n")
        assert frames.pop() == b""
        decoded = [Decoder().feed(frame + b"\n\n") for frame in frames]
        assert [len(found) for found in decoded] == [1] * len(frames)
        places = [found[0].id for found in decoded]
        earlier = [f"{STREAM_ID}.{seq}.{k}" for k in range(1, len(frames))]
        assert places == [*earlier, f"{STREAM_ID}.{seq}"][-len(frames) :] if frames else places == []


@given(events=logs())
def test_field_names(numbered: Dialect, events: list[Event]) -> None:
    """A stream holds nothing but `id`, `event` and `data` lines, and no `event` that a value could have made."""
    lines = re.split(rb"\r\n|\r|\n", encode_all(numbered, events))
    assert {line.partition(b": ")[0] for line in lines} <= {b"id", b"event", b"data", b""}
    names = {line for line in lines if line.startswith(b"event")}
    assert all(re.fullmatch(rb"event: [a-z_.]+", name) for name in names)


@given(events=logs())
def test_each_line_is_one_object(lined: Dialect, events: list[Event]) -> None:
    """No value breaks a line, by any reader's understanding of one: each is a JSON object, and none is blank."""
    written = encode_all(lined, events).decode()
    assert written.endswith("\n")
    assert [*written.removesuffix("\n").split("\n")] == written.splitlines()
    assert all(isinstance(msgspec.json.decode(line), dict) for line in written.splitlines())


@given(texts=st.lists(ANY_TEXT, max_size=20))
def test_any_text_survives(dialect: Dialect, reader: Reader, texts: list[str]) -> None:
    """Whatever the text, the client gets it: equal, but for lone surrogates, and in raw for CR."""
    frames = reader.parse(encode_all(dialect, [TextDelta(text=text) for text in texts]))
    assert reader.whole_text(frames) == reader.expected("".join(texts))


@given(events=logs())
def test_encoders_are_deterministic(dialect: Dialect, events: list[Event]) -> None:
    """Two encoders write the same log as the same bytes."""
    assert entry_frames(dialect, events) == entry_frames(dialect, events)


@given(case=resumptions())
def test_entries_together(dialect: Dialect, case: tuple[list[Event], int, Batches]) -> None:
    """Entries that come at once leave as the bytes that they are one after the other."""
    events, known, batches = case
    encoder, together, first = dialect.encoder(STREAM_ID), b"", 1
    for batch in [events[:known], *batches]:
        together += encoder.encode_all(first, batch)
        first += len(batch)
    assert together == b"".join(entry_frames(dialect, events))


@given(case=resumptions(), data=st.data())
def test_resume_after_any_entry(
    dialect: Dialect, reader: Reader, case: tuple[list[Event], int, Batches], data: st.DataObject
) -> None:
    """Cut after any entry of any log, its number leads to exactly the rest, whether kept or still to come."""
    events, known, batches = case
    cut = data.draw(st.integers(0, known), label="entries received")
    log = create_log(events[:known])
    cursor = Cursor(log, dialect, after=cut)
    received = drain(cursor)
    for batch in batches:
        log.append(batch)
        received += drain(cursor)
    rest = b"".join(entry_frames(dialect, events)[cut:])
    assert cursor.at_end
    assert reader.joined(reader.parse(received)) == reader.joined(reader.parse(rest))


@given(case=resumptions(), data=st.data())
def test_resume_after_any_frame(numbered: Dialect, case: tuple[list[Event], int, Batches], data: st.DataObject) -> None:
    """Cut after any frame of any log, the id of that frame leads to exactly the rest, whether kept or still to come."""
    events, known, batches = case
    reader = READERS[numbered.name]
    uncut = reader.parse(encode_all(numbered, events))
    there = len(reader.parse(encode_all(numbered, events[:known])))
    cut = data.draw(st.integers(0, there), label="frames received")
    place = parse_place(uncut[cut - 1].id if cut else f"{STREAM_ID}.0")
    log = create_log(events[:known])
    cursor = Cursor(log, numbered, after=place.seq, frames=place.frames)
    received = drain(cursor)
    for batch in batches:
        log.append(batch)
        received += drain(cursor)
    assert cursor.at_end
    assert reader.joined(reader.parse(received)) == reader.joined(uncut[cut:])


@given(events=logs())
def test_only_text_is_joined(dialect: Dialect, reader: Reader, events: list[Event]) -> None:
    """A replay holds the frames of all that is not text as they were, byte for byte."""
    replayed = drain(Cursor(create_log(events), dialect))
    others = [frame for frame in reader.parse(encode_all(dialect, events)) if reader.text(frame) is None]
    assert [frame for frame in reader.parse(replayed) if reader.text(frame) is None] == others


def test_replay_is_small(dialect: Dialect) -> None:
    """Reading a 5,000-token answer from its start costs at most three times the bytes of its text."""
    if not dialect.joins:
        return
    events: list[Event] = [
        Started(model="gpt-4o-mini", created_at=0.0),
        *(TextDelta(text=f" t{number % 1000}") for number in range(5000)),
        UsageReported(input_tokens=10, output_tokens=5000),
        Finished(reason="stop"),
    ]
    text = sum(len(event.text) for event in events if isinstance(event, TextDelta))
    assert len(drain(Cursor(create_log(events), dialect))) <= 3 * text


def test_whole_and_errors_are_json(dialect: Dialect) -> None:
    """The whole answer, a refusal and a failure are each one JSON object that holds what matters."""
    whole = dialect.whole(STREAM_ID, WHOLE).decode()
    assert msgspec.json.decode(whole, type=dict[str, object])
    assert all(said in whole for said in ('Hello \\"you\\"\\n', "No.", "call_1"))
    assert '"it"}' in whole.replace('\\"', '"')
    error = RequestError(404, "model_not_found", "there is no model x")
    failed = Failed(code="upstream_cut", message="the upstream broke off")
    for body in (dialect.refusal(error, "req_1")[1], dialect.failure(failed, [failed], "req_1")[1]):
        problem = msgspec.json.decode(body, type=dict[str, object])
        assert any(word in str(problem) for word in (error.message, failed.message))
