"""Compressed bodies: the same however they are cut, bounded whatever they hold."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import UpstreamError
from tailrace.providers.transport.codings import PIECE_BYTES, Inflater

CODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "bare deflate": lambda data: zlib.compress(data, wbits=-zlib.MAX_WBITS),
}


class Taker:
    """Takes inflated pieces, until it has `enough`."""

    def __init__(self, enough: int | None = None) -> None:
        self.pieces: list[bytes] = []
        self._enough = enough

    def __call__(self, piece: bytes) -> bool:
        self.pieces.append(piece)
        return self._enough is not None and len(self.pieces) >= self._enough


@given(kind=st.sampled_from(sorted(CODINGS)), body=st.binary(max_size=500), sizes=st.lists(st.integers(1, 50)))
def test_any_chunking(kind: str, body: bytes, sizes: list[int]) -> None:
    """A body compressed in any of the ways and cut in any places comes out equal."""
    data = CODINGS[kind](body)
    taker = Taker()
    inflater = Inflater(kind.removeprefix("bare "), taker, "host:1")
    for size in sizes:
        inflater.feed(data[:size])
        data = data[size:]
    inflater.feed(data)
    inflater.end()
    assert b"".join(taker.pieces) == body


@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES])
def test_pieces_are_bounded(size: int) -> None:
    """No piece is over 1 MiB, and none is lost at the bound."""
    taker = Taker()
    inflater = Inflater("gzip", taker, "host:1")
    inflater.feed(gzip.compress(bytes(size)))
    inflater.end()
    assert b"".join(taker.pieces) == bytes(size)
    assert max(map(len, taker.pieces)) <= PIECE_BYTES


def test_bomb_stops_with_its_receiver() -> None:
    """A receiver that has enough stops the inflating: the rest of the bomb is never unpacked."""
    taker = Taker(enough=2)
    assert Inflater("gzip", taker, "host:1").feed(gzip.compress(bytes(64 << 20)))
    assert len(taker.pieces) == 2


@given(st.sampled_from(["gzip", "deflate"]), st.binary(min_size=1))
def test_any_bytes(coding: str, data: bytes) -> None:
    """Any bytes are inflated or an UpstreamError; nothing else is raised."""
    inflater = Inflater(coding, Taker(), "host:1")
    with suppress(UpstreamError):
        inflater.feed(data)
        inflater.end()


def test_body_that_breaks_off() -> None:
    """A compressed body without its end is `upstream_cut`; one that never began is just empty."""
    Inflater("gzip", Taker(), "host:1").end()
    inflater = Inflater("gzip", Taker(), "host:1")
    inflater.feed(gzip.compress(b"hello")[:-1])
    with pytest.raises(UpstreamError) as caught:
        inflater.end()
    assert caught.value.code == "upstream_cut"
