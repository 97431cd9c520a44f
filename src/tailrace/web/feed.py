"""What one viewer is sent: a log's entries from a cursor on, as ASGI messages in a dialect's bytes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
from starlette.types import Message

from tailrace.dialects import DIALECTS, Dialect, encoder_for, speaks
from tailrace.events import Event, Failed, TextDelta, UsageReported
from tailrace.streamlog import StreamLog
from tailrace.web.cursors import LAST

Headers: TypeAlias = list[tuple[bytes, bytes]]

STREAM_HEADERS: Final[Headers] = [
    (b"cache-control", b"no-cache, no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]

_TOO_MANY: Final = 429
_PAGE: Final = 1024
_JOINED_BYTES: Final = 16 << 10


class Cursor:
    """A place in a log, and an encoder that has seen all before it: what is new comes out as bytes.

    `position` is the number of the last entry taken.
    """

    __slots__ = ("_behind", "_dialect", "_encoder", "_log", "_opening", "position")

    def __init__(self, log: StreamLog, dialect: Dialect, *, after: int = 0, frames: int = 0) -> None:
        """Start after entry `after`, and after so many frames of the entry that follows it."""
        self._log = log
        self._dialect = dialect
        self._encoder = encoder_for(dialect, log.id, asked_in=DIALECTS.get(log.dialect))
        self.position = after
        self._behind = log.tail > after
        for seq, event in enumerate(log.read(0, after), 1):
            self._encoder.encode(seq, event)
        self._opening = self._skip(frames) if frames else b""

    def _skip(self, frames: int) -> bytes:
        """The next entry's frames without the first ones; no value of a frame holds a blank line."""
        self.position += 1
        encoded = self._encode(self.position, self._log.read(self.position - 1, 1)[0])
        return b"".join(frame + b"\n\n" for frame in encoded.split(b"\n\n")[frames:-1])

    @property
    def heartbeat(self) -> bytes:
        return self._encoder.heartbeat

    @property
    def has_more(self) -> bool:
        """There is something to take."""
        return self.position < self._log.tail

    @property
    def at_end(self) -> bool:
        """Everything has been taken and nothing can follow."""
        log = self._log
        return log.terminal is not None and self.position >= log.tail and not self._opening

    def fall_behind(self) -> None:
        """What is taken next is catch-up: neighbouring deltas may be joined."""
        self._behind = True

    def take(self) -> bytes:
        """The frames of the next entries, a page of them at most; empty where nothing is new."""
        log, position = self._log, self.position
        if log.tail - position == 1 and not self._opening and not log.torn:
            # The usual case, a token as it comes; alone there is nothing to join it with
            self._behind = False
            self.position = position + 1
            return self._encoder.encode(position + 1, log.last)
        frames, self._opening = self._opening, b""
        # The dialect may show nothing of a whole page, and no one wakes a viewer for what is there already
        while not frames and self.position < self._log.tail:
            frames = self._take_page()
        return frames

    def _take_page(self) -> bytes:
        first = self.position + 1
        events = self._log.read(self.position, _PAGE)
        self.position += len(events)
        if self._behind and self._dialect.joins:
            self._behind = self.position < self._log.tail
            return self._encode_joined(first, events)
        if self._log.torn:
            return b"".join([self._encode(seq, event) for seq, event in enumerate(events, first)])
        return self._encoder.encode_all(first, events)

    def _encode(self, seq: int, event: Event) -> bytes:
        """The frames of one entry. A torn log's end has a number of its own, which no entry before it ever had."""
        last = self._log.torn and seq == self._log.tail
        return self._encoder.encode(LAST if last else seq, event)

    def _encode_joined(self, first: int, events: Sequence[Event]) -> bytes:
        frames: list[bytes] = []
        run: list[str] = []
        size = 0
        for seq, event in enumerate(events, first):
            if type(event) is not TextDelta or event.choice or (self._encoder.relays and event.frame is not None):
                frames += [self._encode_run(seq - 1, run), self._encode(seq, event)]
                run, size = [], 0
                continue
            length = len(event.text) if event.text.isascii() else len(event.text.encode("utf-8", "replace"))
            if size + length > _JOINED_BYTES:
                frames.append(self._encode_run(seq - 1, run))
                run, size = [], 0
            run.append(event.text)
            size += length
        frames.append(self._encode_run(self.position, run))
        return b"".join(frames)

    def _encode_run(self, last: int, run: list[str]) -> bytes:
        return self._encoder.encode(last, TextDelta(text="".join(run)), len(run)) if run else b""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """How a response opens.

    `refusable`: an upstream's refusal becomes the HTTP status; not so for readers that attach, which never wait, nor
    for EventSource, which can't read a status. `id_first`: the first frame is an id alone, so that an EventSource
    whose connection is lost before the first token has a cursor to come back with.
    """

    request_id: str
    headers: Headers = []
    refusable: bool = True
    id_first: bool = False


class Feed(ABC):
    """What is due to one viewer, as ASGI messages. `status` is None until the response has begun.

    `ended`: all has been taken. `left` is set by whoever delivers, when the client is gone.
    """

    def __init__(self, log: StreamLog, dialect: Dialect, *, head: Head) -> None:
        self.log = log
        self.status: int | None = None
        self.ended = False
        self.left = False
        self._dialect = dialect
        self._head = head
        self._headers = head.headers

    @abstractmethod
    def take(self) -> list[Message]:
        """The messages that are due now, in order; none where nothing is new. After `ended` there are no more."""

    @abstractmethod
    def take_body(self) -> bytes:
        """The next piece of a body that has begun and does not end with it; empty where `take` must see to it."""

    @property
    @abstractmethod
    def position(self) -> int:
        """The number of the last entry taken."""

    @property
    @abstractmethod
    def has_more(self) -> bool:
        """Whether another `take` would bring something."""

    @abstractmethod
    def open_late(self) -> list[Message]:
        """Begin the response though nothing came yet; nothing where that makes no sense."""

    @abstractmethod
    def keep_alive(self) -> list[Message]:
        """A sign of life after a silence; nothing where the format has none."""

    @abstractmethod
    def fall_behind(self) -> None:
        """The socket was full: what comes next is catch-up."""

    def add_headers(self, headers: Headers) -> None:
        """Send these too; only before the response has begun."""
        self._headers = self._headers + headers

    def _start(self, status: int, headers: Headers) -> Message:
        self.status = status
        return {"type": "http.response.start", "status": status, "headers": headers + self._headers}

    def _refuse(self, failed: Failed) -> list[Message]:
        self.ended = True
        events = self.log.read(0, self.log.tail)
        media_type, body = self._dialect.failure(failed, events, self._head.request_id)
        headers = body_headers(media_type, body, failed.retry_after)
        if not failed.retryable and failed.status != _TOO_MANY:
            headers.append((b"x-should-retry", b"false"))  # the vendors' SDKs would ask twice more
        return [self._start(failed.status, headers), body_message(body)]


class StreamFeed(Feed):
    """The answer as it comes."""

    def __init__(self, log: StreamLog, dialect: Dialect, *, head: Head, after: int = 0, frames: int = 0) -> None:
        super().__init__(log, dialect, head=head)
        self._cursor = Cursor(log, dialect, after=after, frames=frames)

    def take(self) -> list[Message]:
        if self.status is None:
            return self._open()
        if self.ended:
            return []
        body = self._cursor.take()
        self.ended = self._cursor.at_end
        return [body_message(body, more=not self.ended)] if body or self.ended else []

    @property
    def position(self) -> int:
        return self._cursor.position

    @property
    def has_more(self) -> bool:
        return self._cursor.position < self.log.tail and not self.ended

    def take_body(self) -> bytes:
        if self.status is None or self.log.terminal is not None:
            return b""
        return self._cursor.take()

    def fall_behind(self) -> None:
        self._cursor.fall_behind()

    def open_late(self) -> list[Message]:
        return [self._start_stream(), *self.keep_alive()]

    def keep_alive(self) -> list[Message]:
        return [body_message(self._cursor.heartbeat, more=True)] if self._cursor.heartbeat else []

    def _open(self) -> list[Message]:
        if self._head.refusable:
            if not self.log.tail:
                return []
            if (refusal := failed_without_content(self.log)) is not None:
                return self._refuse(refusal)
        opening = b"id: %b.0\n\n" % self.log.id.encode() if self._head.id_first else b""
        start = self._start_stream()
        body = opening + self._cursor.take()
        self.ended = self._cursor.at_end
        return [start, body_message(body, more=not self.ended)] if body or self.ended else [start]

    def _start_stream(self) -> Message:
        kind = (b"content-type", self._dialect.media_type.encode())
        return self._start(200, [kind, *STREAM_HEADERS, *self._dialect.headers])


class WholeFeed(Feed):
    """The whole answer as one JSON document, when it is whole."""

    def take(self) -> list[Message]:
        match self.log.terminal:
            case None:
                return []
            case Failed() as failed:
                return self._refuse(failed)
            case _:
                self.ended = True
                body = self._write(self.log.read(0, self.log.tail))
                return [self._start(200, body_headers("application/json", body)), body_message(body)]

    def _write(self, events: Sequence[Event]) -> bytes:
        native = speaks(self._dialect, DIALECTS.get(self.log.dialect))
        return (self._dialect.relay_whole if native else self._dialect.whole)(self.log.id, events)

    def take_body(self) -> bytes:
        return b""

    @property
    def position(self) -> int:
        # All of it at once, at the end, to a client that waits for it
        return self.log.tail if self.ended or not self.left else 0

    @property
    def has_more(self) -> bool:
        return False

    def open_late(self) -> list[Message]:
        return []

    def keep_alive(self) -> list[Message]:
        return []

    def fall_behind(self) -> None:
        """A whole document is sent at once."""


def failed_without_content(log: StreamLog) -> Failed | None:
    """The failure of a log that holds nothing but it and the meter's figures."""
    if not isinstance(log.terminal, Failed):
        return None
    only_ends = all(isinstance(event, (UsageReported, Failed)) for event in log.read(0, 2))
    return log.terminal if only_ends else None


def body_headers(media_type: str, body: bytes, retry_after: float | None = None) -> Headers:
    """The headers of a body that is sent whole."""
    headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
    return headers if retry_after is None else [*headers, (b"retry-after", b"%d" % max(1, math.ceil(retry_after)))]


def encode_headers(headers: Mapping[str, str]) -> Headers:
    """Headers of text as ASGI wants them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def body_message(body: bytes, *, more: bool = False) -> Message:
    """A piece of the body, the last one unless `more`."""
    return {"type": "http.response.body", "body": body, "more_body": more}
