"""Dialects: from events to a client's bytes, and from a client's body to a request."""

from typing import Final

from tailrace.dialects.ai_sdk import AI_SDK, AI_SDK_CONTINUED
from tailrace.dialects.anthropic import ANTHROPIC, add_betas, list_anthropic_models, read_prompt
from tailrace.dialects.base import Call, Dialect, Encoder, encoder_for, speaks
from tailrace.dialects.delta import DELTA
from tailrace.dialects.meta import META
from tailrace.dialects.ollama import OLLAMA, OLLAMA_GENERATE
from tailrace.dialects.openai_chat import OPENAI_CHAT, OPENAI_CHAT_USAGE, list_models
from tailrace.dialects.openai_responses import OPENAI_RESPONSES
from tailrace.dialects.raw import RAW
from tailrace.dialects.token import TOKEN
from tailrace.errors import RequestError

DIALECTS: Final[dict[str, Dialect]] = {
    dialect.name: dialect
    for dialect in (
        DELTA,
        TOKEN,
        RAW,
        META,
        OPENAI_CHAT,
        OPENAI_CHAT_USAGE,
        OPENAI_RESPONSES,
        ANTHROPIC,
        AI_SDK,
        AI_SDK_CONTINUED,
        OLLAMA,
        OLLAMA_GENERATE,
    )
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
    "AI_SDK",
    "AI_SDK_CONTINUED",
    "ANTHROPIC",
    "DELTA",
    "DIALECTS",
    "META",
    "OLLAMA",
    "OLLAMA_GENERATE",
    "OPENAI_CHAT",
    "OPENAI_CHAT_USAGE",
    "OPENAI_RESPONSES",
    "RAW",
    "TOKEN",
    "Call",
    "Dialect",
    "Encoder",
    "add_betas",
    "choose_variant",
    "encoder_for",
    "find_dialect",
    "list_anthropic_models",
    "list_models",
    "read_prompt",
    "speaks",
]
