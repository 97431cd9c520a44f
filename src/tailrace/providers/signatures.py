"""The signatures of reasoning, by vendor: each refuses what another has signed, so one must know whose it is.

Anthropic's goes as it came. Of OpenAI's Responses API it is the item's id and its encrypted content in one, marked:
`openai:<id>:<encrypted content>`.
"""

from __future__ import annotations

from typing import Final

_OPENAI: Final = "openai:"

# The encrypted content as OpenAI sends it (a Fernet token), from clients that have it from OpenAI itself.
_BARE: Final = "gAAAA"


def seal_openai(item: str, encrypted: str) -> str:
    """The signature of a Responses API's reasoning item."""
    return f"{_OPENAI}{item}:{encrypted}"


def open_openai(signature: str | None) -> tuple[str, str] | None:
    """The id, "" if it is not known, and the encrypted content; None where the signature is another vendor's."""
    if signature is None:
        return None
    if signature.startswith(_BARE):
        return "", signature
    item, _, encrypted = signature.removeprefix(_OPENAI).rpartition(":")
    return (item, encrypted) if signature.startswith(_OPENAI) else None
