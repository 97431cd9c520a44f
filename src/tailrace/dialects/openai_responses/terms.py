"""What a response repeats of its request. It stands in the log, before the answer: an encoder knows nothing else."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tailrace.events import Opaque

TERMS: Final = "openai_responses"
"""The kind of the `Opaque` that holds them."""

ANSWERS_WITHOUT: Final[dict[str, Any]] = {
    "background": False,
    "conversation": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": None,
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": None,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""The fields that repeat a request's, as they are where it did not say."""

_encode: Final = msgspec.json.Encoder().encode


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the request in `echo`, when it came, and the model that it named."""

    created_at: float = 0.0
    model: str = ""
    echo: dict[str, Any] = {}

    @property
    def background(self) -> bool:
        """Whether the response is there before the upstream has begun."""
        return self.echo.get("background") is True

    @property
    def kept(self) -> bool:
        """Whether the response, and with it its items, can be found again by their names."""
        return self.echo.get("store") is True

    def at(self, created_at: float) -> Terms:
        """With this time, where there is none yet."""
        return self if self.created_at else msgspec.structs.replace(self, created_at=created_at)


def write_terms(terms: Terms) -> Opaque:
    """The terms as an entry of a log."""
    return Opaque(kind=TERMS, json=_encode(terms).decode())


def read_terms(json: str) -> Terms:
    """The same, read back."""
    return msgspec.json.decode(json, type=Terms)
