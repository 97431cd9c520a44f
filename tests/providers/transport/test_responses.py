"""Responses from bytes: however they are cut, and whatever they are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.upstream import answer, chunk, chunked_head

from tailrace.providers.transport.responses import MAX_HEAD_BYTES, ResponseReader

WHOLE = [
    answer(b"hello, world", X_Empty=""),
    chunked_head() + chunk(b"hello, ") + b"5;x=1\r\nworld\r\n0\r\nX-Trailer: 1\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + answer(b"hello, world", Connection="close"),
]


def read(pieces: list[bytes]) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader("host:1")
    return reader, b"".join([reader.feed(piece) for piece in pieces])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("response", WHOLE)
def test_cut_at_every_byte(response: bytes) -> None:
    """A response cut in two at any byte is the same response."""
    for place in range(len(response) + 1):
        reader, body = read(cut(response, [place]))
        assert (reader.status, body, reader.ended, reader.fault) == (200, b"hello, world", True, None)


@given(response=st.sampled_from(WHOLE), data=st.data())
def test_any_chunking(response: bytes, data: st.DataObject) -> None:
    """A response cut into any pieces has the same head and body."""
    places = data.draw(st.lists(st.integers(0, len(response))))
    reader, body = read(cut(response, places))
    whole, _ = read([response])
    assert (reader.headers, reader.reusable, body) == (whole.headers, whole.reusable, b"hello, world")


@pytest.mark.parametrize("response", WHOLE)
def test_end_at_every_byte(response: bytes) -> None:
    """A response that ends at any byte before its last is cut, and the body before it was handed out."""
    for end in range(len(response)):
        reader, body = read([response[:end]])
        reader.feed_eof()
        assert reader.fault is not None
        assert reader.fault.code == "upstream_cut"
        assert b"hello, world".startswith(body)


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_any_bytes(pieces: list[bytes]) -> None:
    """Any bytes at all are a response or a fault with one of two codes; nothing is raised."""
    reader, _ = read(pieces)
    reader.feed_eof()
    assert reader.ended
    assert reader.fault is None or reader.fault.code in {"upstream_invalid", "upstream_cut"}


@given(st.lists(st.binary(max_size=20), max_size=5), st.sampled_from(WHOLE), st.integers(0, 200))
def test_any_bytes_within_a_response(pieces: list[bytes], response: bytes, place: int) -> None:
    """Bytes put into the middle of a response never raise either."""
    reader, _ = read([response[:place], *pieces, response[place:]])
    reader.feed_eof()
    assert reader.ended


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 200 ",
        chunked_head() + b"0\r\nX-Trailer: ",
        chunked_head() + b"5;",
    ],
    ids=["header", "reason", "trailer", "chunk extension"],
)
def test_lines_without_end(begun: bytes) -> None:
    """A line of any kind that never ends is a fault after 64 KiB and one read, not a growing buffer."""
    reader, _ = read([begun])
    fed = 0
    while not reader.ended and fed < 4 * MAX_HEAD_BYTES:
        reader.feed(b"y" * 4096)
        fed += 4096
    assert reader.fault is not None
    assert fed <= MAX_HEAD_BYTES + 4096


def test_interim_responses_without_end() -> None:
    """An upstream that only ever says `100 Continue` is a fault as well."""
    reader, _ = read([b"HTTP/1.1 100 Continue\r\n\r\n"] * 4000)
    assert reader.fault is not None
    assert reader.fault.code == "upstream_invalid"


def test_second_response() -> None:
    """What follows a whole response spoils the connection, not the response."""
    reader, body = read([answer(b"first") + answer(b"second")])
    assert (body, reader.ended, reader.fault, reader.reusable) == (b"first", True, None, False)


def test_one_after_the_other() -> None:
    """After `begin` nothing of the last response is left."""
    reader, _ = read([answer(b"first", X_First="1")])
    reader.begin()
    assert (reader.status, reader.ended) == (None, False)
    assert reader.feed(answer(b"second")) == b"second"
    assert "x-first" not in reader.headers
