"""The cut test: a connection that breaks after any byte of an answer costs its reader nothing, in any format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pytest
from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import READERS, STREAM_ID, Frame, Reader, encode_all
from tests.streamlog.shelves import Shelf
from tests.streamlog.specimens import END, STARTED, texts

from tailrace.dialects import DIALECTS, Dialect
from tailrace.errors import RequestError
from tailrace.events import Event
from tailrace.sse import Decoder
from tailrace.streamlog import RingLog
from tailrace.web.cursors import LAST, Place, locate, parse_place
from tailrace.web.feed import Cursor

pytestmark = pytest.mark.usefixtures("no_leaks")

LONG: Final[list[Event]] = [STARTED, *texts(*(f"piece {number}\n" for number in range(40))), *END]
ANSWERS: Final = {"every kind": WHOLE, "broken": BROKEN, "long": LONG}
NUMBERED: Final = [dialect for dialect in DIALECTS.values() if dialect.has_ids]


@pytest.fixture(params=NUMBERED, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Every format whose frames have ids."""
    found: Dialect = request.param
    return found


@pytest.fixture
def reader(dialect: Dialect) -> Reader:
    return READERS[dialect.name]


def read(log: RingLog, dialect: Dialect, cursor: str) -> bytes:
    """What a reader gets that comes back with this cursor; nothing for a 204."""
    place = locate(parse_place(cursor), log)
    if place is None:
        return b""
    found = Cursor(log, dialect, after=place.seq, frames=place.frames)
    pieces: list[bytes] = []
    while piece := found.take():
        pieces.append(piece)
    return b"".join(pieces)


def cursor_after(frames: Sequence[Frame]) -> str:
    """The id of the last whole frame that came; the one that an EventSource is told first where none did."""
    return frames[-1].id if frames else f"{STREAM_ID}.0"


def prefixes(reader: Reader, stream: bytes) -> Iterator[list[Frame]]:
    """The whole frames that came of each prefix of a stream, byte by byte; the same ones again are left out."""
    decoder = Decoder()
    frames: list[Frame] = []
    yield frames
    for place in range(len(stream)):
        if came := decoder.feed(stream[place : place + 1]):
            frames = [*frames, *(Frame(event=one.event, id=one.id, value=reader.value(one.data)) for one in came)]
            yield frames


async def log_of(shelf: Shelf, events: Sequence[Event]) -> RingLog:
    """A log with these events: out of the store, where it outlives memory."""
    log = shelf.create(STREAM_ID, *events)
    await shelf.store.flush()
    if shelf.lasts:
        await shelf.forget()
    found = await shelf.find(STREAM_ID)
    assert found is not None
    assert (found is log) is not shelf.lasts
    return found


@pytest.mark.parametrize("answer", ANSWERS)
async def test_cut_after_every_byte(shelf: Shelf, dialect: Dialect, reader: Reader, answer: str) -> None:
    """What came before the cut and what comes after it are together the answer, from memory and from the store."""
    log = await log_of(shelf, ANSWERS[answer])
    stream = encode_all(dialect, ANSWERS[answer])
    uncut = reader.joined(reader.parse(stream))
    for received in prefixes(reader, stream):
        rest = reader.parse(read(log, dialect, cursor_after(received)))
        assert reader.joined([*received, *rest]) == uncut


@pytest.mark.parametrize("answer", ANSWERS)
async def test_cut_again_after_every_byte(shelf: Shelf, dialect: Dialect, reader: Reader, answer: str) -> None:
    """The same where what is cut is a replay, with its joined frames."""
    log = await log_of(shelf, ANSWERS[answer])
    replay = read(log, dialect, f"{STREAM_ID}.0")
    uncut = reader.joined(reader.parse(encode_all(dialect, ANSWERS[answer])))
    for received in prefixes(reader, replay):
        rest = reader.parse(read(log, dialect, cursor_after(received)))
        assert reader.joined([*received, *rest]) == uncut


async def torn_log(lasting: Shelf, events: Sequence[Event]) -> RingLog:
    """A log that its writer left behind when it had kept this much."""
    lasting.create(STREAM_ID, *events)
    await lasting.store.flush()
    await lasting.crash()
    found = await lasting.find(STREAM_ID)
    assert found is not None
    assert found.torn
    return found


@pytest.mark.parametrize("kept", range(0, 12, 2))
async def test_cut_before_a_crash(lasting: Shelf, dialect: Dialect, reader: Reader, kept: int) -> None:
    """A reader that was cut and comes back after the server's death gets what was kept and it has not, then the truth:
    never an answer that looks whole, never silence, and nothing twice, wherever it was cut, beyond what was kept too.
    With the id of that end it is told that nothing is left."""
    log = await torn_log(lasting, LONG[:kept])
    live = encode_all(dialect, LONG[:10])
    kept_frames = reader.parse(encode_all(dialect, LONG[: min(kept, 10)]))
    for received in prefixes(reader, live):
        rest = reader.parse(read(log, dialect, cursor_after(received)))
        assert [reader.ending(frame) for frame in rest if reader.ending(frame)] == ["failed"]
        assert reader.ending(rest[-1]) == "failed"
        known = [*received, *(frame for frame in rest if reader.text(frame) is not None)]
        longer = max(len(received), len(kept_frames))
        assert reader.whole_text(known) == reader.whole_text(reader.parse(encode_all(dialect, LONG[:10]))[:longer])
        assert read(log, dialect, cursor_after(rest)) == b""


async def test_an_end_in_several_frames(lasting: Shelf, dialect: Dialect, reader: Reader) -> None:
    """Where the end of a torn log takes several frames, each of its cursors leads to those behind it."""
    log = await torn_log(lasting, WHOLE[:5])
    whole = reader.parse(read(log, dialect, f"{STREAM_ID}.0"))
    last = [place for place, frame in enumerate(whole) if parse_place(frame.id).seq >= LAST - 1]
    for place in last:
        assert reader.parse(read(log, dialect, whole[place].id)) == whole[place + 1 :]
    assert whole[-1].id == f"{STREAM_ID}.{LAST}"


async def test_beyond_the_end(shelf: Shelf) -> None:
    """Of a log that was not torn nothing lies beyond the end: such a cursor is refused."""
    log = await log_of(shelf, WHOLE)
    for place in (Place(log_id=log.id, seq=log.tail + 1), Place(log_id=log.id, seq=log.tail, frames=1)):
        with pytest.raises(RequestError, match="beyond the stream's last entry") as caught:
            locate(place, log)
        assert (caught.value.status, caught.value.code) == (400, "bad_cursor")
    assert locate(Place(log_id=log.id, seq=log.tail), log) is None


async def test_a_long_answer_is_small_on_the_wire(lasting: Shelf, dialect: Dialect) -> None:
    """Resuming a 5,000-token answer from the store costs at most three times the bytes of its text."""
    if not dialect.joins:
        return
    words = texts(*(f" t{number % 1000}" for number in range(5000)))
    log = await log_of(lasting, [STARTED, *words, *END])
    text = sum(len(f" t{number % 1000}") for number in range(5000))
    assert len(read(log, dialect, f"{STREAM_ID}.0")) <= 3 * text
