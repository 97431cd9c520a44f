"""The Server-Sent Events codec.

The cases named `format-…` say in our words what the files of that name in web-platform-tests say:
https://github.com/web-platform-tests/wpt/tree/master/eventsource
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.errors import WireError
from tailrace.sse import HEARTBEAT, DataReader, Decoder, ServerSentEvent, encode_frame

Chunks: TypeAlias = list[bytes]
T_co = TypeVar("T_co", covariant=True)

BOM = b"\xef\xbb\xbf"


class Feedable(Protocol[T_co]):
    def feed(self, data: bytes, /) -> Iterable[T_co]: ...


class Case(NamedTuple):
    """A whole stream and what it must become."""

    name: str
    stream: bytes
    events: list[ServerSentEvent]
    last_event_id: str = ""
    retry: int | None = None


def message(data: str, *, event_id: str = "") -> ServerSentEvent:
    return ServerSentEvent(data=data, id=event_id)


WEB_PLATFORM_CASES = [
    Case("format-bom", BOM + b"data:1\n\n" + BOM + b"data:2\n\ndata:3\n\n\n", [message("1"), message("3")]),
    Case("format-bom-2", BOM + BOM + b"data:1\n\ndata:2\n\ndata:3\n\n\n", [message("2"), message("3")]),
    Case(
        "format-comments",
        b"data:1\r:\0\n:\r\ndata:2\n:%b\rdata:3\n:data:no\r:%b\ndata:4\n\n" % (b"x" * 200, b"x" * 200),
        [message("1\n2\n3\n4")],
    ),
    Case(
        "format-data-before-final-empty-line",
        b"retry:1000\ndata:test1\n\nid:test\ndata:test2\n",
        [message("test1")],
        retry=1000,
    ),
    Case("format-field-data", b"data:\n\ndata\ndata\n\ndata:test\n\n\n", [message(""), message("\n"), message("test")]),
    Case(
        "format-field-event",
        b"event:test\ndata:x\n\ndata:x\n\n\n",
        [ServerSentEvent(event="test", data="x"), message("x")],
    ),
    Case("format-field-event-empty", b"event: \ndata:data\n\n\n", [message("data")]),
    Case(
        "format-field-id",
        "id: …\nretry: 200\ndata: hello\n\n".encode(),
        [message("hello", event_id="…")],
        last_event_id="…",
        retry=200,
    ),
    Case(
        "format-field-id-2",
        "id: …\ndata: hello\n\ndata: …\n\ndata: …\n\n".encode(),
        [message("hello", event_id="…"), message("…", event_id="…"), message("…", event_id="…")],
        last_event_id="…",
    ),
    Case(
        "format-field-id-3 persists",
        b"id: 1\ndata: 1\n\ndata:2\n\n",
        [message("1", event_id="1"), message("2", event_id="1")],
        last_event_id="1",
    ),
    Case(
        "format-field-id-3 changes and persists",
        b"id: 1\ndata: 1\n\nid: 2\ndata:2\n\ndata:3\n\n",
        [message("1", event_id="1"), message("2", event_id="2"), message("3", event_id="2")],
        last_event_id="2",
    ),
    Case(
        "format-field-id-3 resets",
        b"id: 1\ndata: 1\n\nid:\ndata:2\n\ndata:3\n\n",
        [message("1", event_id="1"), message("2"), message("3")],
    ),
    Case("format-field-id-null", b"id: \0\0\ndata: hello\n\n", [message("hello")]),
    Case(
        "format-field-parsing",
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n"
        b"data:3\rdata:\r\n data:32\ndata:4\n\n",
        [message("\0\n 2\n1\n3\n\n4")],
    ),
    Case("format-field-retry", b"retry:02000\ndata:x\n\n\n", [message("x")], retry=2000),
    Case("format-field-retry-bogus", b"retry:2000\nretry:1000x\ndata:x\n\n\n", [message("x")], retry=2000),
    Case("format-field-retry-empty", b"retry\ndata:test\n\n\n", [message("test")]),
    Case(
        "format-field-unknown",
        b"data:test\n data\ndata\ncolour:blue\nno colon here\n:remark\ndata:test\n\n\n",
        [message("test\n\ntest")],
    ),
    Case("format-leading-space", b"data:\ttest\rdata: \ndata:test\n\n\n", [message("\ttest\n\ntest")]),
    Case("format-newlines", b"data:test\r\ndata\ndata:test\r\n\r", [message("test\n\ntest")]),
    Case("format-null-character", b"data:\0\n\n\n\n", [message("\0")]),
    Case("format-utf-8", "data:ok…\n\n\n".encode(), [message("ok…")]),
]

OUR_CASES = [
    Case("nothing", b"", []),
    Case(
        "no data: the type is forgotten, the id is kept",
        b"event: lost\nid: 7\n\ndata: x\n\n",
        [message("x", event_id="7")],
        last_event_id="7",
    ),
    Case("a BOM cut off by the end", BOM[:2], []),
    Case("invalid UTF-8", b"data: a\xffb\xe2\x80\n\n", [message("a\ufffdb\ufffd")]),
    Case("line separators of Unicode", "data: a\u2028b\x85c\x0bd\n\n".encode(), [message("a\u2028b\x85c\x0bd")]),
    Case("a retry of other digits", "retry: ٣\nretry: -1\nretry: +1\nretry: 1_0\n\n".encode(), []),
    Case("a retry that int() refuses", b"retry: 5\nretry: %b\n\n" % (b"9" * 5000), [], retry=5),
    Case(
        "heartbeats", HEARTBEAT + b"data: 1\n\n" + HEARTBEAT + HEARTBEAT + b"data: 2\n\n", [message("1"), message("2")]
    ),
]

STREAMS = WEB_PLATFORM_CASES + OUR_CASES

FIELDS = [b"data", b"event", b"id", b"retry", b":", b" ", b"12", b"d", b"\0", b"\ndata: "]
ENDS = [b"\n", b"\r", b"\r\n", b"\n\n"]
FRAMES = [b"data: {}\n\n", b"data: \n\n", b"event: x\ndata: {}\n\n", b"data:{}\n\n", b"data: 1\ndata: 2\n\n"]
HOSTILE = st.lists(
    st.sampled_from([*FIELDS, *ENDS, *FRAMES, BOM, b"\xe2", b"\x80\xa8"]) | st.binary(max_size=4), max_size=30
).map(b"".join)

LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8)
REALISTIC_FRAMES = st.one_of(
    st.builds("data: {{{}}}\n\n".format, LINES),
    st.builds("data:[{}]\n\n".format, LINES),
    st.builds("event: {}\ndata: {{{}}}\n\n".format, LINES, LINES),
    st.builds("id: {}\nevent: {}\ndata: {}\n\n".format, LINES, LINES, LINES),
    st.builds("data: {}\ndata: {}\n\n".format, LINES, LINES),
    st.builds(": {}\n\n".format, LINES),
    st.just(": ping\n"),
    st.just("data: [DONE]\n\n"),
)


def with_line_end(stream: str, end: str) -> bytes:
    return stream.replace("\n", end).encode()


REALISTIC = st.builds(
    with_line_end,
    st.lists(REALISTIC_FRAMES, max_size=12).map("".join),
    st.sampled_from(["\n", "\n", "\r\n", "\r"]),
)


def cut(stream: bytes, places: list[int]) -> Chunks:
    places = sorted(places)
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]


@st.composite
def chunked(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> Chunks:
    stream = draw(streams)
    return cut(stream, draw(st.lists(st.integers(0, len(stream)), max_size=12)))


def read(reader: Feedable[T_co], chunks: Chunks) -> list[T_co]:
    return [item for chunk in chunks for item in reader.feed(chunk)]


def read_or_refuse(reader: Feedable[T_co], chunks: Chunks) -> list[T_co] | None:
    try:
        return read(reader, chunks)
    except WireError:
        return None


def seconds(action: Callable[[], object]) -> float:
    """The least CPU time of a few runs."""

    def once() -> float:
        start = time.process_time()
        action()
        return time.process_time() - start

    return min(once() for _ in range(5))


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
def test_decoder_follows_the_standard_wherever_the_stream_is_cut(case: Case) -> None:
    """Each case gives its events, id and retry: whole, byte by byte, and cut in two at every place."""
    cuts = [[place] for place in range(len(case.stream) + 1)]
    for places in [[], *cuts, list(range(len(case.stream)))]:
        decoder = Decoder()
        assert read(decoder, cut(case.stream, places)) == case.events
        assert (decoder.last_event_id, decoder.retry) == (case.last_event_id, case.retry)


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
def test_data_reader_follows_the_standard_wherever_the_stream_is_cut(case: Case) -> None:
    """Each case gives its data, also behind a plain frame that has set the reader on its quick path."""
    for start in (b"", b"" if case.stream.startswith(BOM) else b"data: 0\n\n"):
        payloads = ([b"0"] if start else []) + [event.data.encode() for event in case.events]
        for place in range(len(case.stream) + 1):
            chunks = [start, *cut(case.stream, [place])]
            decoded = [payload.decode("utf-8", "replace").encode() for payload in read(DataReader(), chunks)]
            assert decoded == payloads


@given(chunked(HOSTILE | REALISTIC | st.binary()))
def test_any_chunking_gives_the_same_events(chunks: Chunks) -> None:
    """However bytes of any kind are cut, the events, the id and the retry are those of the whole."""
    whole, parts = Decoder(), Decoder()
    assert read(parts, chunks) == read(whole, [b"".join(chunks)])
    assert (parts.last_event_id, parts.retry) == (whole.last_event_id, whole.retry)


@given(chunked(HOSTILE | REALISTIC | st.binary()))
@example([b"data: 1\n\n", BOM + b"data: 2\n\n"])
@example([BOM + b"data: 1\ndata: 2\n\n"])
@example([b"\n\n", b"data: 1\rdata: 2\n\n"])
@example([b"\n\n", b"data: 1\n\n", BOM + b"data: 2\n\n"])
@example([b"\n\n", b"event: x\ndata: 1\n\n\ndata: 2\n\n"])
@example([b"\n\n", b"data:  1\n\n", b"data: \n\n", b"data\n\n", b"data: 1\ndata: 2\n\n"])
@example([b"data: 1\r", b"\n\n", b"data: 2\n\n"])
@example([b"data: 1\n", b"\ndata: 2\n\ndata: 3\n", b"\n"])
def test_data_reader_agrees_with_the_decoder(chunks: Chunks) -> None:
    """For bytes of any kind and any chunking, the payloads decode to the data of the decoder's events."""
    payloads = read(DataReader(), chunks)
    assert [payload.decode("utf-8", "replace") for payload in payloads] == [e.data for e in read(Decoder(), chunks)]


@given(chunked(st.text().map(str.encode) | REALISTIC))
def test_data_reader_equals_the_decoder_on_utf_8(chunks: Chunks) -> None:
    """On valid UTF-8 the payloads are the very bytes of the decoder's data."""
    assert read(DataReader(), chunks) == [event.data.encode() for event in read(Decoder(), chunks)]


def test_data_reader_passes_invalid_utf_8_unchanged() -> None:
    """Payload bytes that are not UTF-8 come through as they are, on the quick path and on the slow one."""
    frames = b"data: {\xff}\n\ndata: \xe2\x80\ndata: \xed\xa0\x80\n\n"
    assert read(DataReader(), [b"\n\n", frames]) == [b"{\xff}", b"\xe2\x80\n\xed\xa0\x80"]


@given(chunked(HOSTILE | REALISTIC), st.integers(0, 12))
@example([b"data\n" * 6, b":" + b"x" * 8], 4)
def test_limits_hold_alike_for_any_chunking_and_both_readers(chunks: Chunks, max_bytes: int) -> None:
    """Whether a stream breaks a limit depends neither on the cuts nor on the reader."""
    whole = [b"".join(chunks)]
    events = read_or_refuse(Decoder(max_bytes), whole)
    payloads = read_or_refuse(DataReader(max_bytes), whole)
    assert (events is None) == (payloads is None)
    assert read_or_refuse(Decoder(max_bytes), chunks) == events
    assert read_or_refuse(DataReader(max_bytes), chunks) == payloads


@pytest.mark.parametrize("reader", [Decoder, DataReader])
def test_a_line_over_the_limit_is_refused_before_it_ends(reader: type[Decoder] | type[DataReader]) -> None:
    """An endless line raises as soon as it is over the limit, and the error says so; a line at the limit passes."""
    assert len(list(reader(11).feed(b"data: 12345\n\n"))) == 1
    for too_long in (b"data: 12345", b"\n\ndata: 12345\n\n", b"\n\n:\ndata: 1\n\n:" + b"5" * 10):
        with pytest.raises(WireError, match="a line is longer than 10 bytes"):
            reader(10).feed(too_long)


@pytest.mark.parametrize("reader", [Decoder, DataReader])
def test_an_event_over_the_limit_is_refused_before_it_ends(reader: type[Decoder] | type[DataReader]) -> None:
    """Many short data lines may not add up to more than the limit; comments and many events may."""
    passing = reader(13)
    assert len(list(passing.feed(b"data: 123456\ndata: 123456\n\n" * 10 + b": ping\n" * 10))) == 10
    with pytest.raises(WireError, match="the data of one event is longer than 13 bytes"):
        reader(13).feed(b"data: 123456\ndata: 123456\ndata\n")


def test_a_cr_ends_the_event_at_once() -> None:
    """An event that ends in CR is dispatched with it; the LF that may follow is not waited for and not counted."""
    decoder = Decoder()
    assert decoder.feed(b"data: 1\r\n\r") == [message("1")]
    assert decoder.feed(b"\ndata: 2\r") == []
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\ndata: 3\n\r") == [message("2\n3")]


def test_the_id_counts_when_its_block_ends() -> None:
    """An id is not the last event id before the blank line."""
    decoder = Decoder()
    decoder.feed(b"id: 1\ndata: x\n")
    assert decoder.last_event_id == ""
    decoder.feed(b"\n")
    assert decoder.last_event_id == "1"


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r")), st.none() | NAMES, st.none() | NAMES)
def test_frames_round_trip(data: str, event: str | None, event_id: str | None) -> None:
    """What a frame is made of comes back from it, from text and from bytes."""
    frame = encode_frame(data, event=event, id=event_id)
    assert frame == encode_frame(data.encode(), event=event, id=event_id)
    assert Decoder().feed(frame) == [ServerSentEvent(event=event or "message", data=data, id=event_id or "")]
    assert DataReader().feed(frame) == [data.encode()]


def test_frames_are_written_in_one_way() -> None:
    """The bytes of a frame: id, event, data, one `data:` line for each line whatever ends it."""
    frame = encode_frame("a\nb\rc\r\nd", event="token", id="g.1")
    assert frame == b"id: g.1\nevent: token\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
    assert encode_frame("a\rb") == b"data: a\ndata: b\n\n"
    assert encode_frame(b"") == b"data: \n\n"


@pytest.mark.parametrize("bad", ["\r", "\n", "\0"])
def test_names_that_break_a_frame_are_refused(bad: str) -> None:
    """CR, LF and NUL in an event's type or id raise an error that names the field."""
    with pytest.raises(ValueError, match="the event of a frame can't hold CR, LF or NUL"):
        encode_frame("x", event=f"a{bad}b")
    with pytest.raises(ValueError, match="the id of a frame can't hold CR, LF or NUL"):
        encode_frame("x", id=f"a{bad}b")


def test_lone_surrogates_are_replaced() -> None:
    """Text that is not valid Unicode becomes a frame that is: pairs are joined, lone halves become U+FFFD."""
    frame = encode_frame("a\ud800b\ud83d\ude00", event="\udfff")
    assert Decoder().feed(frame) == [ServerSentEvent(event="\ufffd", data="a\ufffdb😀")]


def test_a_long_line_in_small_pieces_costs_linear_time() -> None:
    """16 times the line costs about 16 times the work, not 256 times."""

    def read_line(pieces: int) -> None:
        reader = DataReader()
        for _ in range(pieces):
            reader.feed(b"x" * 256)

    assert seconds(lambda: read_line(4096)) < 64 * seconds(lambda: read_line(256))


@pytest.mark.parametrize(
    "frame",
    [
        b"data: {%b}\n\n",
        b"data:{%b}\n\n",
        b"event: content_block_delta\ndata: {%b}\n\n",
        b"id: 1\nevent: x\ndata: {%b}\n\n",
    ],
)
def test_plain_frames_take_the_quick_path(frame: bytes) -> None:
    """A read of plain frames costs less than half of what the general rules cost."""
    frames = frame % (b"x" * 150) * 1000
    quick, general = DataReader(), DataReader()
    quick.feed(b"\n\n")
    assert len(quick.feed(frames)) == len(general.feed(frames[:-1])) + 1 == 1000
    crlf = frames.replace(b"\n", b"\r\n")
    assert 2 * seconds(lambda: quick.feed(frames)) < seconds(lambda: general.feed(crlf))
