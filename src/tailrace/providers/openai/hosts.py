"""What depends on who is asked: OpenAI itself, or one of the many servers that speak its formats."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_OPENAI: Final = ("openai.com", "openai.azure.com")
_REASONING_MODELS: Final = re.compile(r"(ft:)?(o[1-9]|gpt-[5-9])")


def is_openai(host: str) -> bool:
    """Whether the server at `host` is OpenAI's own, or Azure's of OpenAI's models."""
    return is_below(host, _OPENAI)


@lru_cache(maxsize=64)
def is_below(host: str, domains: tuple[str, ...]) -> bool:
    """Whether `host` is one of the domains, or a name in one."""
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def reasons(model: str) -> bool:
    """Whether OpenAI's model of this name is one that reasons."""
    return _REASONING_MODELS.match(model) is not None
