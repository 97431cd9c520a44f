"""How an answer's body is cut into payloads: an event stream's data, a line of NDJSON, or the body as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from tailrace.errors import WireError
from tailrace.sse import DataReader

MAX_PAYLOAD: Final = 1 << 20
MAX_BODY: Final = 8 << 20

_BOM: Final = b"\xef\xbb\xbf"


class Framing(Protocol):
    """Cuts a body into payloads. Raises WireError where one is longer than it may be."""

    def feed(self, data: bytes, /) -> Iterable[bytes]:
        """Take the next bytes of the body and return the payloads that they finish."""
        ...

    def flush(self) -> Iterable[bytes]:
        """The body has ended: return what it left, which may be torn."""
        ...


class EventFraming:
    """The data of server-sent events, each of `max_payload` bytes at most."""

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self._reader = DataReader(max_payload)
        self.feed = self._reader.feed

    @property
    def between_frames(self) -> bool:
        """Whether what comes next begins a frame, so that a whole one need not come through `feed`."""
        return self._reader.between_frames

    def flush(self) -> list[bytes]:
        # Strictly, an event without its blank line is none; but servers are seen to end on `data: [DONE]` itself.
        return self._reader.feed(b"\n\n")


class LineFraming:
    """The lines of newline-delimited JSON, without blank ones."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._at_start = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._append(line)
            yield from self.flush()
        self._append(rest)

    def flush(self) -> Iterator[bytes]:
        line = b"".join(self._pieces).strip()
        self._pieces.clear()
        self._size = 0
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if line:
            yield line

    def _append(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > MAX_PAYLOAD:
            raise WireError(f"a line is longer than {MAX_PAYLOAD} bytes")


class BodyFraming:
    """The whole body as one payload: what comes where a stream was asked for and not given."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> tuple[()]:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MAX_BODY:
            raise WireError(f"the body is longer than {MAX_BODY} bytes")
        return ()

    def flush(self) -> list[bytes]:
        return [b"".join(self._pieces)]
