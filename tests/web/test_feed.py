"""What one viewer is sent: frames from a cursor on, and the HTTP response around them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.types import Message
from tests.dialects.reading import READERS, STREAM_ID, encode_all

from tailrace.dialects import DELTA, META, RAW, TOKEN, Dialect
from tailrace.dialects.delta import DeltaEncoder
from tailrace.dialects.own import OwnDialect
from tailrace.events import (
    Event,
    Failed,
    Finished,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    UsageReported,
)
from tailrace.sse import Decoder
from tailrace.streamlog import Ring, RingLog
from tailrace.web.feed import Cursor, Feed, Head, StreamFeed, WholeFeed, body_headers

STARTED = Started(model="m", created_at=5.0)
USAGE = UsageReported(input_tokens=1, output_tokens=2)
STOP = Finished(reason="stop")
REFUSED = Failed(code="upstream_refused", message="too many requests", status=429, retry_after=1.2)
HEAD = Head(request_id="req_1", headers=[(b"x-tailrace-stream", STREAM_ID.encode())])
EVENT_SOURCE = Head(request_id="req_1", refusable=False, id_first=True)
JOINED_CHARS = 16 << 10


def texts(*pieces: str) -> list[Event]:
    return [TextDelta(text=piece) for piece in pieces]


def create_log(events: Iterable[Event] = ()) -> RingLog:
    log = Ring().create(STREAM_ID, dialect="delta")
    if events := list(events):
        log.append(events)
    return log


def stream(log: RingLog, *, dialect: Dialect = DELTA, head: Head = HEAD, after: int = 0) -> StreamFeed:
    return StreamFeed(log, dialect, head=head, after=after)


def delta_frame(seq: int, text: str, *, tokens: int, index: int) -> bytes:
    data = f'{{"delta":"{text}","tokens":{tokens},"model":"m","chunk_index":{index},"done":false}}'
    return f"id: {STREAM_ID}.{seq}\nevent: message\ndata: {data}\n\n".encode()


def texts_of(stream: bytes, dialect: Dialect = DELTA) -> list[str]:
    """The text of each frame that brings some."""
    reader = READERS[dialect.name]
    return [text for frame in reader.parse(stream) if (text := reader.text(frame)) is not None]


def drain(feed: Feed) -> list[Message]:
    """All the messages that are due now."""
    messages: list[Message] = []
    while more := feed.take():
        messages += more
    return messages


def body_of(messages: Iterable[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in messages)


def headers_of(start: Message) -> dict[bytes, bytes]:
    assert start["type"] == "http.response.start"
    assert len(start["headers"]) == len(dict(start["headers"]))
    return dict(start["headers"])


# The cursor


def test_live_entries_have_each_its_frame() -> None:
    """A reader that is up to date gets each entry's own frame, also when several come at once."""
    log = create_log()
    cursor = Cursor(log, DELTA)
    log.append([STARTED, *texts("a", "b")])
    assert cursor.take() == delta_frame(2, "a", tokens=1, index=1) + delta_frame(3, "b", tokens=1, index=2)
    log.append(texts("c"))
    assert cursor.take() == delta_frame(4, "c", tokens=1, index=3)
    assert cursor.take() == b""


def test_catching_up_joins() -> None:
    """A joined frame has the last entry's id, the sum of the tokens, and the place of the last."""
    log = create_log([STARTED, *texts("a", "b", "c", "d")])
    assert Cursor(log, DELTA).take() == delta_frame(5, "abcd", tokens=4, index=4)
    assert Cursor(log, DELTA, after=3).take() == delta_frame(5, "cd", tokens=2, index=4)


def test_after_catching_up_it_is_live_again() -> None:
    """Only what was there already is joined."""
    log = create_log([STARTED, *texts("a", "b")])
    cursor = Cursor(log, DELTA)
    cursor.take()
    log.append(texts("c", "d"))
    assert cursor.take() == delta_frame(4, "c", tokens=1, index=3) + delta_frame(5, "d", tokens=1, index=4)


def test_a_slow_reader_catches_up() -> None:
    """Whoever fell behind gets what waited as one frame, and then each as it comes."""
    log = create_log()
    cursor = Cursor(log, DELTA)
    log.append([STARTED, *texts("a")])
    cursor.take()
    cursor.fall_behind()
    log.append(texts("b"))
    log.append(texts("c"))
    assert cursor.take() == delta_frame(4, "bc", tokens=2, index=3)
    log.append(texts("d", "e"))
    assert texts_of(cursor.take()) == ["d", "e"]


@pytest.mark.parametrize(
    "between",
    [
        ReasoningDelta(text="hm"),
        RefusalDelta(text="no"),
        Opaque(kind="k", json="{}"),
        UsageReported(output_tokens=2),
        TextDelta(text="x", choice=1),
    ],
)
def test_only_neighbours_are_joined(between: Event) -> None:
    """Text on both sides of anything else stays apart, and in its order."""
    events = [STARTED, *texts("a", "b"), between, *texts("c", "d")]
    frames = Cursor(create_log(events), DELTA).take()
    assert [text for text in texts_of(frames) if text not in {"no", "x"}] == ["ab", "cd"]
    places = [frame.id.rpartition(".")[2] for frame in Decoder().feed(frames)]
    assert (places[0], places[-1]) == ("3", "6")


def test_joined_frames_are_not_endless() -> None:
    """A joined frame holds about 16 Ki characters: never more than one delta above."""
    log = create_log([STARTED, *texts(*["x" * 100] * 2000)])
    cursor = Cursor(log, DELTA)
    frames = b""
    while piece := cursor.take():
        frames += piece
    lengths = [len(text) for text in texts_of(frames)]
    assert sum(lengths) == 200_000
    assert max(lengths) < JOINED_CHARS + 100
    assert len(lengths) <= 200_000 // JOINED_CHARS + 2


def test_a_dialect_that_never_joins() -> None:
    """A format whose frames must stay as they were is replayed byte for byte."""

    class ApartDialect(OwnDialect):
        joins = False

    events = [STARTED, *texts("a", "b", "c"), USAGE, STOP]
    assert Cursor(create_log(events), ApartDialect("apart", DeltaEncoder)).take() == encode_all(DELTA, events)


def test_a_page_at_a_time() -> None:
    """A long log comes in pieces, so that one reader of it holds nobody up, and says that there is more."""
    cursor = Cursor(create_log([STARTED, *texts(*["x"] * 5000), USAGE, STOP]), TOKEN)
    pieces = []
    while piece := cursor.take():
        pieces.append(piece)
        assert cursor.has_more == (not cursor.at_end)
    assert len(pieces) >= 5
    assert "".join(texts_of(b"".join(pieces), TOKEN)) == "x" * 5000


def test_a_page_that_shows_nothing() -> None:
    """However much a format leaves out, what follows it comes at once: nobody would wake the reader for it."""
    hidden: list[Event] = [Opaque(kind="k", json="{}")] * 5000
    cursor = Cursor(create_log([*hidden, *texts("a"), USAGE, STOP]), DELTA)
    assert texts_of(cursor.take()) == ["a"]
    assert cursor.at_end


def test_within_an_entry() -> None:
    """After the first of an entry's two frames comes the second; after more than it has, nothing of it."""
    log = create_log([STARTED, *texts("a"), USAGE, STOP])
    last = f"id: {STREAM_ID}.4\nevent: message\ndata: [DONE]\n\n".encode()
    for frames, rest in ((1, last), (2, b""), (9, b"")):
        cursor = Cursor(log, DELTA, after=3, frames=frames)
        assert cursor.at_end == (not rest)
        assert cursor.take() == rest
        assert cursor.at_end


@pytest.mark.parametrize("dialect", [DELTA, TOKEN, RAW, META], ids=lambda dialect: dialect.name)
def test_a_heartbeat_breaks_no_frame(dialect: Dialect) -> None:
    """Heartbeats between any two frames change nothing of what a client reads."""
    events = [STARTED, *texts("a", "b"), USAGE, STOP]
    log = create_log()
    cursor = Cursor(log, dialect)
    frames = cursor.heartbeat
    for event in events:
        log.append([event])
        frames += cursor.take() + cursor.heartbeat
    assert cursor.heartbeat == b": keep-alive\n"
    assert Decoder().feed(frames) == Decoder().feed(encode_all(dialect, events))


# The stream as a response


def test_response_headers() -> None:
    """A stream is never stored, transformed or held back by a proxy, and says which one it is."""
    feed = stream(create_log([STARTED, *texts("a")]))
    feed.add_headers([(b"x-request-id", b"req_1")])
    start, body = feed.take()
    assert start["status"] == feed.status == 200
    assert headers_of(start) == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-cache, no-store, no-transform",
        b"x-accel-buffering": b"no",
        b"x-tailrace-stream": STREAM_ID.encode(),
        b"x-request-id": b"req_1",
    }
    assert body == {"type": "http.response.body", "body": delta_frame(2, "a", tokens=1, index=1), "more_body": True}


def test_the_status_waits_for_the_first_entry() -> None:
    """The request that generates is not answered before the upstream has said something."""
    log = create_log()
    feed = stream(log)
    assert feed.take() == []
    assert feed.status is None
    log.append([STARTED, *texts("a")])
    assert [message["type"] for message in feed.take()] == ["http.response.start", "http.response.body"]


def test_to_the_end() -> None:
    """The last piece closes the body, and nothing follows it."""
    log = create_log()
    feed = stream(log)
    log.append([STARTED, *texts("a")])
    messages = drain(feed)
    log.append([USAGE, STOP])
    messages += drain(feed)
    assert (feed.ended, feed.has_more) == (True, False)
    assert [message.get("more_body") for message in messages] == [None, True, False]
    assert feed.take() == []
    assert body_of(messages) == encode_all(DELTA, [STARTED, *texts("a"), USAGE, STOP])


@pytest.mark.parametrize("usage", [[], [UsageReported(input_tokens=0, output_tokens=0)]])
def test_a_refusal_is_an_http_error(usage: list[Event]) -> None:
    """An upstream that refuses is refused on: its status, when to come again, and problem JSON."""
    log = create_log()
    feed = stream(log)
    assert feed.take() == []
    log.append([*usage, REFUSED])
    start, body = feed.take()
    assert (feed.ended, feed.has_more, feed.take()) == (True, False, [])
    assert start["status"] == feed.status == 429
    headers = headers_of(start)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"retry-after"] == b"2"
    assert headers[b"content-length"] == str(len(body["body"])).encode()
    assert not body["more_body"]
    problem = json.loads(body["body"])
    assert (problem["code"], problem["detail"], problem["request_id"]) == (
        "upstream_refused",
        "too many requests",
        "req_1",
    )


def test_a_failure_after_content_is_an_event() -> None:
    """Once something was said the status is 200, and the failure an event; also when all of it comes at once."""
    start, *rest = drain(stream(create_log([STARTED, *texts("a"), USAGE, REFUSED])))
    assert start["status"] == 200
    last = Decoder().feed(body_of(rest))[-1]
    assert (last.event, json.loads(last.data)["code"]) == ("error", "upstream_refused")


def test_event_source_begins_with_an_id() -> None:
    """An EventSource is answered at once, with an id alone: a place to come back to, and no event."""
    feed = stream(create_log(), head=EVENT_SOURCE)
    start, body = feed.take()
    assert start["status"] == 200
    assert body["body"] == f"id: {STREAM_ID}.0\n\n".encode()
    decoder = Decoder()
    assert decoder.feed(body["body"]) == []
    assert decoder.last_event_id == f"{STREAM_ID}.0"


def test_event_source_gets_a_refusal_as_an_event() -> None:
    """EventSource can read no status, so a refusal is 200 and an error with an id."""
    start, *rest = drain(stream(create_log([USAGE, REFUSED]), head=EVENT_SOURCE))
    assert start["status"] == 200
    (error,) = Decoder().feed(body_of(rest))
    assert (error.event, error.id) == ("error", f"{STREAM_ID}.2")


def test_late_opening() -> None:
    """When the upstream takes long the stream opens with a heartbeat, and a refusal is from then on an event."""
    log = create_log()
    feed = stream(log)
    assert feed.take() == []
    start, heartbeat = feed.open_late()
    assert (start["status"], feed.status) == (200, 200)
    assert heartbeat == {"type": "http.response.body", "body": b": keep-alive\n", "more_body": True}
    log.append([USAGE, REFUSED])
    (body,) = drain(feed)
    assert Decoder().feed(body["body"])[0].event == "error"
    assert not body["more_body"]


def test_attaching_never_waits() -> None:
    """A reader that attaches is answered at once, though nothing is there yet."""
    feed = stream(create_log(), head=Head(request_id="req_1", refusable=False))
    (start,) = feed.take()
    assert start["status"] == 200
    assert feed.take() == []
    assert feed.keep_alive() == [{"type": "http.response.body", "body": b": keep-alive\n", "more_body": True}]


def test_attaching_at_the_very_end() -> None:
    """A reader with nothing left to read gets a whole, empty response, not one that never ends."""
    log = create_log([STARTED, *texts("a"), USAGE, STOP])
    head = Head(request_id="req_1", refusable=False)
    for feed in (StreamFeed(log, DELTA, head=head, after=4), StreamFeed(log, DELTA, head=head, after=3, frames=9)):
        start, body = drain(feed)
        assert start["status"] == 200
        assert (body["body"], body["more_body"], feed.ended) == (b"", False, True)


def test_a_feed_that_falls_behind_joins() -> None:
    """A full socket makes the rest catch-up."""
    log = create_log()
    feed = stream(log)
    log.append([STARTED, *texts("a")])
    feed.take()
    feed.fall_behind()
    log.append(texts("b"))
    log.append(texts("c"))
    assert texts_of(body_of(feed.take())) == ["bc"]


# The whole answer


def test_a_whole_answer_waits_for_its_end() -> None:
    """One JSON document, when the answer is whole, and never a byte before."""
    log = create_log([STARTED, *texts("a", "b")])
    feed = WholeFeed(log, DELTA, head=HEAD)
    assert (feed.take(), feed.open_late(), feed.keep_alive(), feed.status) == ([], [], [], None)
    feed.fall_behind()
    log.append([USAGE, STOP])
    start, body = feed.take()
    assert (feed.ended, feed.has_more, feed.status) == (True, False, 200)
    headers = headers_of(start)
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == str(len(body["body"])).encode()
    assert headers[b"x-tailrace-stream"] == STREAM_ID.encode()
    assert json.loads(body["body"])["text"] == "ab"
    assert not body["more_body"]


@pytest.mark.parametrize(("said", "kept"), [([], None), ([STARTED, *texts("a")], "a")])
def test_a_whole_answer_that_failed(said: list[Event], kept: str | None) -> None:
    """A failure is an HTTP error even after content, which comes with it."""
    feed = WholeFeed(create_log([*said, USAGE, REFUSED]), DELTA, head=HEAD)
    start, body = feed.take()
    problem: dict[str, Any] = json.loads(body["body"])
    assert (start["status"], feed.status, feed.ended) == (429, 429, True)
    assert (problem["code"], problem.get("text")) == ("upstream_refused", kept)
    assert headers_of(start)[b"retry-after"] == b"2"


@pytest.mark.parametrize(("seconds", "header"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.2, b"2"), (59.5, b"60")])
def test_retry_after(seconds: float, header: bytes) -> None:
    """Whole seconds, at least one, and never fewer than the upstream asked for."""
    assert dict(body_headers("application/json", b"{}", seconds))[b"retry-after"] == header


def test_no_retry_after() -> None:
    """Without a word of the upstream's there is no such header."""
    assert body_headers("application/json", b"{}") == [
        (b"content-type", b"application/json"),
        (b"content-length", b"2"),
    ]
