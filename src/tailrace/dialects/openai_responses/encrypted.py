"""What a reasoning item's `encrypted_content` holds: a vendor's signature, or what it gave in the text's place."""

from __future__ import annotations

from typing import Final

import msgspec

from tailrace.requests import Reasoning

REDACTED: Final = "redacted_thinking"
"""The kind of the `Opaque` in which Anthropic's reasoning comes that is not shown."""

_MARK: Final = "redacted:"


class _Block(msgspec.Struct):
    data: str


class _Start(msgspec.Struct):
    content_block: _Block


_decode: Final = msgspec.json.Decoder(_Start).decode


def encrypt(reasoning: Reasoning) -> str | None:
    """The encrypted content of a piece of reasoning, if it has any."""
    return reasoning.signature if reasoning.redacted is None else _MARK + reasoning.redacted


def decrypt(text: str, encrypted: str | None) -> Reasoning:
    """The reasoning again, from its text and its encrypted content."""
    if encrypted is not None and encrypted.startswith(_MARK):
        return Reasoning(text=text, redacted=encrypted.removeprefix(_MARK))
    return Reasoning(text=text, signature=encrypted)


def read_redacted(json: str) -> str | None:
    """The encrypted content for the block that Anthropic sends of what it does not show; None where it is none."""
    try:
        return _MARK + _decode(json).content_block.data
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
