"""Content codings (RFC 9110, 8.4): bodies that came compressed although `identity` was asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from tailrace.errors import UpstreamError
from tailrace.providers.transport.base import Receiver

PIECE_BYTES: Final = 1 << 20

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
_GZIP_MAGIC: Final = 0x1F
_DEFLATE_METHOD: Final = 8

Receive: TypeAlias = Callable[[bytes], bool]


class Inflater:
    """Inflates one body in bounded pieces, so that a bomb is met by the receiver's own limit."""

    __slots__ = ("_coding", "_inflate", "_receive", "_where")

    def __init__(self, coding: str, receive: Receive, where: str) -> None:
        self._coding = coding
        self._receive = receive
        self._where = where
        self._inflate: zlib._Decompress | None = None

    def feed(self, data: bytes) -> bool:
        """Inflate `data` and hand it on; True as soon as the receiver wants no more."""
        while data:
            stream = self._inflate
            if stream is None or stream.eof:
                # A gzip body may have several members, each a stream of its own; padding after the last is ignored.
                if stream is not None and (self._coding != "gzip" or data[0] != _GZIP_MAGIC):
                    return False
                stream = self._inflate = self._open(data[0])
            if self._drain(stream, data):
                return True
            data = stream.unused_data
        return False

    def end(self) -> None:
        """The body is over. Raises UpstreamError if its compression is not."""
        if self._inflate is not None and not self._inflate.eof:
            raise UpstreamError("upstream_cut", f"{self._where} ended a compressed answer before it was whole")

    def _drain(self, stream: zlib._Decompress, data: bytes) -> bool:
        while True:
            try:
                piece = stream.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                message = f"{self._where} broke the compression of its answer ({error})"
                raise UpstreamError("upstream_cut", message) from error
            if piece and self._receive(piece):
                return True
            data = stream.unconsumed_tail
            # zlib may hold back output though it took all input: a full piece says that there may be more.
            if not data and len(piece) < PIECE_BYTES:
                return False

    def _open(self, first: int) -> zlib._Decompress:
        if self._coding == "gzip":
            return zlib.decompressobj(_GZIP)
        # "deflate" means zlib's format, and some servers send the bare stream: told apart by zlib's first byte.
        return zlib.decompressobj(_ZLIB if first & 0x0F == _DEFLATE_METHOD else _RAW_DEFLATE)


def open_coding(headers: Mapping[str, str], receiver: Receiver, where: str) -> Inflater | None:
    """The inflater that this answer's body needs, None for a body that came as it is.

    Raises UpstreamError `upstream_invalid` for a coding that can't be undone.
    """
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in {"", "identity"}:
        return None
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise UpstreamError("upstream_invalid", f"{where} compressed its answer with a coding that was not asked for")
    return Inflater(coding.removeprefix("x-"), receiver.body_received, where)
