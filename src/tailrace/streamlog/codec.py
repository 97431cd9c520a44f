"""Runs of events as bytes, for stores: msgpack, each event under its tag."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.events import Event

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_LARGEST: Final = 2**63 - 1

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Event]).decode


def encode_run(events: Sequence[Event]) -> bytes:
    """Events as bytes. What these can't hold is told as every dialect tells it, or as near as may be."""
    try:
        return _encode(events)
    except (UnicodeEncodeError, OverflowError):
        return _encode([_sound(event) for event in events])


def decode_run(run: bytes) -> list[Event]:
    """The events of a run. Raises msgspec.DecodeError for what is none of ours."""
    return _decode(run)


def sound_text(text: str) -> str:
    """The text with each surrogate, which no UTF-8 can hold, as U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _sound(event: Event) -> Event:
    return msgspec.structs.replace(
        event, **{name: _sound_value(getattr(event, name)) for name in event.__struct_fields__}
    )


def _sound_value(value: Any) -> Any:
    match value:
        case str():
            return sound_text(value)
        case int():
            return min(value, _LARGEST)
        case _:
            return value
