"""Ollama's errors, in an HTTP answer and in a stream: a text, which begins with the place where one is to blame.

The format: https://docs.ollama.com/api/errors.
"""

from __future__ import annotations

from typing import Final

from tailrace.dialects.base import json_bytes
from tailrace.dialects.faults import find_place, lead
from tailrace.errors import RequestError
from tailrace.events import Failed

# What this format calls the places that tailrace names by chat completions' words.
_PLACES: Final = {
    "max_tokens": "options.num_predict",
    "reasoning_effort": "think",
    "response_format": "format",
    **{
        name: f"options.{name}"
        for name in ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "stop")
    },
}


def write_refusal(error: RequestError) -> bytes:
    """A refusal's body. Of a model that is not there it says so in Ollama's words, which clients look for."""
    if error.code == "model_not_found":
        return write_error(f"model not found: {error.message}")
    return write_error(lead(error.field, error.message))


def write_failure(failed: Failed, *, asked: str) -> bytes:
    """What tells that an answer failed; `asked` is the field of a body that holds the conversation."""
    return write_error(lead(find_place(failed.field, {**_PLACES, "messages": asked}), failed.message))


def write_error(message: str) -> bytes:
    """What tells that there is no answer, or no more of it: a body, or a stream's last line."""
    return json_bytes({"error": message})
