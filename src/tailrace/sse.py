"""The Server-Sent Events codec: bytes to events and back, with no I/O.

The rules are WHATWG HTML, section 9.2 (https://html.spec.whatwg.org/multipage/server-sent-events.html). Two of them
surprise: an event's `id` is whatever id was sent last, by this event or an earlier one; and an event without a single
`data` line is not dispatched, although its id counts.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tailrace.errors import WireError

# A blank line would end the frame that the comment stands in, and clients that remember the last id, such as OpenAI's
# for Python, take every blank line after it for an event, and its empty data for broken JSON.
HEARTBEAT: Final = b": keep-alive\n"

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b"\n\n"
_RETRY_DIGITS: Final = 18
_FORBIDDEN: Final = re.compile("[\r\n\0]")

# Frame after frame from the start: lines that can't be data, then one line of data. From the first frame that looks
# otherwise, all the rest is one match with an empty payload, so a look at the last match is proof for all of them.
# One pattern beats bytes.split, which needs more passes over the bytes to prove the same.
_PLAIN_FRAMES: Final = re.compile(rb"(?:[^d\n].*\n)*data: ?(\S.*)\n\n|(?s:.+)")


class ServerSentEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One dispatched event; `id` is the last event id at that moment."""

    event: str = "message"
    data: str
    id: str = ""


class Decoder:
    """Turns the bytes of one stream, however they are cut, into its events.

    `last_event_id` is the id of the last finished block, "" if none had one; `retry` is the reconnection time that
    the server last asked for, in milliseconds, or None. A block that the stream leaves unfinished is not an event.
    Bytes that are not UTF-8 become U+FFFD.

    A line longer than `max_bytes`, or an event with more data than that, raises WireError. The other events of that
    call are lost with it, and the decoder is of no further use.
    """

    def __init__(self, max_bytes: int = 1 << 20) -> None:
        self.last_event_id: str = ""
        self.retry: int | None = None
        self._lines = _LineSplitter(max_bytes)
        # Per event, except that the id outlives it.
        self._data = _DataBuffer(max_bytes)
        self._event = ""
        self._id = ""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes of the stream and return the events that they finish."""
        events: list[ServerSentEvent] = []
        for line in self._lines.feed(data):
            if line:
                self._take_field(*_parse_field(line))
            elif (event := self._dispatch()) is not None:
                events.append(event)
        return events

    def _take_field(self, name: bytes, value: bytes) -> None:
        match name:
            case b"data":
                self._data.append(value)
            case b"event":
                self._event = _decode(value)
            case b"id" if b"\0" not in value:
                self._id = _decode(value)
            # No one waits a longer time than these digits can say, and int() refuses thousands of them.
            case b"retry" if value.isdigit() and len(value) <= _RETRY_DIGITS:
                self.retry = int(value)

    def _dispatch(self) -> ServerSentEvent | None:
        self.last_event_id = self._id
        name, self._event = self._event or "message", ""
        payload = self._data.take()
        if payload is None:
            return None
        return ServerSentEvent(event=name, data=_decode(payload), id=self._id)


# As numbers: bytes look for a number ten times faster than for bytes.
_LF: Final = 0x0A
_CR: Final = 0x0D


class DataReader:
    """Reads only the data of each event, as bytes: the quick way to follow an upstream that speaks JSON.

    It returns what `Decoder` would, without decoding: invalid UTF-8 passes through. The same limits raise WireError.
    """

    def __init__(self, max_bytes: int = 1 << 20) -> None:
        self._max_bytes = max_bytes
        self._lines: _DataLines | None = None
        # None until the first byte, because only a splitter of lines knows a BOM.
        self._may_have_bom: bool | None = None
        self._inside_frame = True

    @property
    def between_frames(self) -> bool:
        """Whether what comes next begins a frame, so that a whole one need not come through `feed`."""
        return not self._inside_frame

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream and return the data of the events that they finish."""
        # One frame of one line, as a model that takes its time sends them
        if (
            data[:6] == b"data: "
            and data.find(b"\n") == len(data) - 2
            and data[-1] == _LF
            and not self._inside_frame
            and _CR not in data
            and len(data) <= self._max_bytes
        ):
            return [data[6:-2]]
        if self._inside_frame and not self._begins(data):
            return self._end_frame(data)
        if data.endswith(_BLANK):
            return self._read_frames(data)
        frames, blank, rest = data.rpartition(_BLANK)
        self._inside_frame = bool(rest)
        payloads = self._read_frames(frames + blank) if blank else []
        return payloads + self._read_lines(rest) if rest else payloads

    def _begins(self, data: bytes) -> bool:
        """Whether these are the stream's first bytes, and no BOM."""
        if self._may_have_bom is not None or not data:
            return False
        self._may_have_bom = self._inside_frame = data[0] == _BOM[0]
        return not self._inside_frame

    def _end_frame(self, data: bytes) -> list[bytes]:
        frame, blank, rest = data.partition(_BLANK)
        payloads = self._read_lines(frame + blank) if data else []
        if blank:
            self._inside_frame = False
            return payloads + self.feed(rest)
        return payloads

    def _read_frames(self, frames: bytes) -> list[bytes]:
        if len(frames) <= self._max_bytes and _CR not in frames:
            payloads: list[bytes] = _PLAIN_FRAMES.findall(frames)
            if payloads and payloads[-1]:
                return payloads
        return self._read_lines(frames)

    def _read_lines(self, data: bytes) -> list[bytes]:
        if self._lines is None:
            self._lines = _DataLines(self._max_bytes, at_start=self._may_have_bom is True)
        return self._lines.feed(data)


class _DataLines:
    """Reads the data of events line by line: of those that come in pieces, or are written in an unusual way."""

    def __init__(self, max_bytes: int, *, at_start: bool) -> None:
        self._lines = _LineSplitter(max_bytes, at_start=at_start)
        self._data = _DataBuffer(max_bytes)

    def feed(self, data: bytes) -> list[bytes]:
        payloads: list[bytes] = []
        for line in self._lines.feed(data):
            if not line:
                payload = self._data.take()
                if payload is not None:
                    payloads.append(payload)
            elif line.startswith(b"data"):
                name, value = _parse_field(line)
                if name == b"data":
                    self._data.append(value)
        return payloads


def encode_frame(data: str | bytes, *, event: str | None = None, id: str | None = None) -> bytes:  # noqa: A002
    """Write one frame: `id:`, `event:`, then a `data:` line for each line of `data`.

    A CR or CRLF in `data` reaches the reader as LF; a lone surrogate becomes U+FFFD, as everywhere on the web.
    Raises ValueError where `event` or `id` holds CR, LF or NUL, which would break the frame or lose the id.
    """
    payload = data if isinstance(data, bytes) else _encode(data)
    if b"\n" in payload or b"\r" in payload:
        payload = _unify_line_ends(payload).replace(b"\n", b"\ndata: ")
    frame = b"data: " + payload + _BLANK
    if event is not None:
        frame = _encode_field("event", event) + frame
    if id is not None:
        frame = _encode_field("id", id) + frame
    return frame


class _LineSplitter:
    """Cuts a stream into lines, without their ends, and keeps what follows the last end for the next call."""

    def __init__(self, max_bytes: int, *, at_start: bool = True) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._at_start = at_start
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        after_cr = self._after_cr
        if data:
            self._after_cr = data.endswith(b"\r")
        if after_cr:
            data = data.removeprefix(b"\n")
        *lines, rest = _unify_line_ends(data).split(b"\n")
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += rest
        self._refuse_long(lines)
        if lines and self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        return lines

    def _refuse_long(self, lines: list[bytes]) -> None:
        longest = max(map(len, lines), default=0)
        if max(longest, len(self._rest)) > self._max_bytes:
            raise WireError(f"event stream: a line is longer than {self._max_bytes} bytes")


class _DataBuffer:
    """Collects the data lines of one event."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: list[bytes] = []
        self._size = -1

    def append(self, value: bytes) -> None:
        self._values.append(value)
        self._size += len(value) + 1
        if self._size > self._max_bytes:
            raise WireError(f"event stream: the data of one event is longer than {self._max_bytes} bytes")

    def take(self) -> bytes | None:
        """The lines joined by LF, or None if there was not even an empty one; the buffer is empty afterwards."""
        if not self._values:
            return None
        payload = b"\n".join(self._values)
        self._values.clear()
        self._size = -1
        return payload


def _parse_field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def _unify_line_ends(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _decode(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _encode_field(name: str, value: str) -> bytes:
    if _FORBIDDEN.search(value):
        raise ValueError(f"the {name} of a frame can't hold CR, LF or NUL: {value!r}")
    return _encode(f"{name}: {value}\n")
