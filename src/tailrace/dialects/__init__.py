"""Dialects: from events to a client's bytes, and from a client's body to a request."""

from typing import Final

from tailrace.dialects.base import Call, Dialect, Encoder
from tailrace.dialects.delta import DELTA
from tailrace.dialects.meta import META
from tailrace.dialects.openai_chat import OPENAI_CHAT, OPENAI_CHAT_USAGE, list_models
from tailrace.dialects.raw import RAW
from tailrace.dialects.token import TOKEN
from tailrace.errors import RequestError

DIALECTS: Final[dict[str, Dialect]] = {
    dialect.name: dialect for dialect in (DELTA, TOKEN, RAW, META, OPENAI_CHAT, OPENAI_CHAT_USAGE)
}


def find_dialect(name: str) -> Dialect:
    """The format with this name. Raises RequestError 400 that lists the names there are."""
    if name not in DIALECTS:
        raise RequestError(400, "unknown_format", f"unknown format {name[:40]!r}; there are {', '.join(DIALECTS)}")
    return DIALECTS[name]


def choose_variant(own: Dialect, chosen: str | None) -> Dialect:
    """The variant of an endpoint's format that a body (`Call.dialect`) or a log (`dialect`) names; else the format."""
    return DIALECTS[chosen] if chosen in own.variants else own


__all__ = [
    "DELTA",
    "DIALECTS",
    "META",
    "OPENAI_CHAT",
    "OPENAI_CHAT_USAGE",
    "RAW",
    "TOKEN",
    "Call",
    "Dialect",
    "Encoder",
    "choose_variant",
    "find_dialect",
    "list_models",
]
