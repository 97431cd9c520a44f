"""The contract of one API surface: what a client may ask, and how it is answered."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from tailrace.errors import RequestError
from tailrace.events import Event, Failed, is_bare
from tailrace.requests import ChatRequest
from tailrace.sse import HEARTBEAT

_encode_json: Final = msgspec.json.Encoder().encode

# Line ends to Python's `splitlines`, and so to many a client's line iterator, that JSON may hold as they are.
_FALSE_LINE_ENDS: Final = re.compile(b"\xc2\x85|\xe2\x80\xa8|\xe2\x80\xa9")

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def json_bytes(value: Any) -> bytes:
    """Compact JSON in one line for every reader: U+0085, U+2028 and U+2029 escaped, lone surrogates as U+FFFD."""
    try:
        encoded = _encode_json(value)
    except UnicodeEncodeError:
        encoded = _encode_json(_sound(value))
    return encoded if encoded.isascii() else in_one_line(encoded)


def in_one_line(encoded: bytes) -> bytes:
    """JSON with what only some readers take for a line's end escaped, which is the same JSON."""
    if encoded.isascii():
        return encoded
    return _FALSE_LINE_ENDS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), encoded)


def replace_surrogates(text: str) -> str:
    """The text with each surrogate as U+FFFD: alone, so that joining texts before or after comes to the same."""
    return _SURROGATES.sub("\ufffd", text)


def _sound(value: Any) -> Any:
    match value:
        case str():
            return replace_surrogates(value)
        case dict():
            return {_sound(key): _sound(item) for key, item in value.items()}
        case list() | tuple():
            return [_sound(item) for item in value]
        case _:
            return value


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One parsed body: what goes to a model, and how the answer is wanted.

    `request.model` is empty where the client named none; `backend` names a provider. None means: not said.
    `after` is the message of the session that the call goes on from, `dialect` the one of the endpoint's variants that
    the body chose, `chat_id` a name of the client's by which it finds the stream again.
    """

    request: ChatRequest
    backend: str | None = None
    stream: bool | None = None
    session_id: str | None = None
    after: str | None = None
    on_disconnect: Literal["cancel", "continue"] | float | None = None
    dialect: str | None = None
    chat_id: str | None = None


class Encoder(ABC):
    """Turns the entries of one log into a client's bytes: pure and deterministic.

    Entries are given in order from the first. One that starts at a cursor folds the earlier entries in first, by
    encoding them and dropping the bytes.
    """

    heartbeat: bytes = HEARTBEAT
    relays: bool = False
    """Whether it prints an upstream's frames as they came."""

    def __init__(self, stream_id: str) -> None:
        self._id = b"id: " + stream_id.encode() + b"."

    @abstractmethod
    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        """The frames of entry `seq`, each ending in a blank line; empty where the dialect shows nothing of it.

        `count` > 1: the event is `count` neighbouring text entries joined, the last of which is `seq`.
        """

    def encode_all(self, first: int, events: Sequence[Event]) -> bytes:
        """The frames of entries from `first` on, as `encode` gives them one after the other."""
        return b"".join([self.encode(seq, event) for seq, event in enumerate(events, first)])


class Dialect(ABC):
    """One format that clients read."""

    name: str
    media_type: str = "text/event-stream; charset=utf-8"
    headers: Sequence[tuple[bytes, bytes]] = ()
    """What the response of a stream says besides, names in lower case."""
    request_id_header: bytes = b""
    """Where the vendor's clients look for the request's id, beside `x-request-id`."""
    has_ids: bool = True
    """Whether frames say where they stand, so that a reader can come back behind any of them."""
    joins: bool = True
    """Whether catch-up may join neighbouring text entries into one frame."""
    variants: frozenset[str] = frozenset()
    """The names of the formats that a body may choose instead; a log keeps the chosen one's name."""
    native: str = ""
    """The kind of the providers that speak this format too, whose frames `relay` prints as they came."""

    @abstractmethod
    def parse(self, body: bytes) -> Call:
        """A body as a call. Raises RequestError."""

    @abstractmethod
    def encoder(self, stream_id: str) -> Encoder:
        """A new encoder for one viewer."""

    @abstractmethod
    def whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        """The whole answer as one JSON document, from the events of a log that ended in `Finished`."""

    def relay(self, stream_id: str) -> Encoder:
        """A new encoder for a viewer of a log that may hold frames of this format."""
        return self.encoder(stream_id)

    def relay_whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        """As `whole`, from a log that may hold frames of this format."""
        return self.whole(stream_id, events)

    @abstractmethod
    def refusal(self, error: RequestError, request_id: str) -> tuple[str, bytes]:
        """The media type and body of an HTTP error."""

    @abstractmethod
    def failure(self, failed: Failed, events: Sequence[Event], request_id: str) -> tuple[str, bytes]:
        """The same for a generation that failed before the client got its status; `events` may hold a part."""


def speaks(dialect: Dialect, asked_in: Dialect | None) -> bool:
    """Whether a log that was `asked_in` one format may hold frames of this one."""
    return asked_in is not None and bool(dialect.native) and dialect.native == asked_in.native


def encoder_for(dialect: Dialect, stream_id: str, *, asked_in: Dialect | None) -> Encoder:
    """A new encoder for a viewer who reads in this dialect a log that was `asked_in` another, or the same."""
    if speaks(dialect, asked_in):
        return dialect.relay(stream_id)
    encoder = dialect.encoder(stream_id)
    return encoder if asked_in is None or not asked_in.native else _FirstChoice(encoder)


class _FirstChoice(Encoder):
    """Another encoder's bytes, without what few formats have a place for: bare frames, choices beside the first."""

    def __init__(self, inner: Encoder) -> None:
        self._inner = inner
        self.heartbeat = inner.heartbeat

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        return b"" if getattr(event, "choice", 0) or is_bare(event) else self._inner.encode(seq, event, count)
