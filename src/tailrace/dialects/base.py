"""The contract of one API surface: what a client may ask, and how it is answered."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from tailrace.errors import RequestError
from tailrace.events import Event, Failed
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
    the body chose.
    """

    request: ChatRequest
    backend: str | None = None
    stream: bool | None = None
    session_id: str | None = None
    after: str | None = None
    on_disconnect: Literal["cancel", "continue"] | float | None = None
    dialect: str | None = None


class Encoder(ABC):
    """Turns the entries of one log into a client's bytes: pure and deterministic.

    Entries are given in order from the first. One that starts at a cursor folds the earlier entries in first, by
    encoding them and dropping the bytes.
    """

    heartbeat: bytes = HEARTBEAT

    def __init__(self, stream_id: str) -> None:
        self._id = b"id: " + stream_id.encode() + b"."

    @abstractmethod
    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        """The frames of entry `seq`, each ending in a blank line; empty where the dialect shows nothing of it.

        `count` > 1: the event is `count` neighbouring text entries joined, the last of which is `seq`.
        """


class Dialect(ABC):
    """One format that clients read."""

    name: str
    media_type: str = "text/event-stream; charset=utf-8"
    joins: bool = True
    """Whether catch-up may join neighbouring text entries into one frame."""
    variants: frozenset[str] = frozenset()
    """The names of the formats that a body may choose instead; a log keeps the chosen one's name."""

    @abstractmethod
    def parse(self, body: bytes) -> Call:
        """A body as a call. Raises RequestError."""

    @abstractmethod
    def encoder(self, stream_id: str) -> Encoder:
        """A new encoder for one viewer."""

    @abstractmethod
    def whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        """The whole answer as one JSON document, from the events of a log that ended in `Finished`."""

    @abstractmethod
    def refusal(self, error: RequestError, request_id: str) -> tuple[str, bytes]:
        """The media type and body of an HTTP error."""

    @abstractmethod
    def failure(self, failed: Failed, events: Sequence[Event], request_id: str) -> tuple[str, bytes]:
        """The same for a generation that failed before the client got its status; `events` may hold a part."""
