"""Writes a chat completion request in the client's own words, where the client speaks this format itself.

The format: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from tailrace.providers.bodies import encode_body
from tailrace.providers.openai.body import write_limit, write_messages
from tailrace.providers.openai.vendors import fit
from tailrace.requests import ChatRequest

_Fields: TypeAlias = dict[str, msgspec.Raw]

_NULL: Final = msgspec.Raw(b"null")
_LIMITS: Final = ("max_tokens", "max_completion_tokens")

_read_options: Final = msgspec.json.Decoder(_Fields | None).decode


def write_verbatim(request: ChatRequest, fields: _Fields, *, host: str) -> bytes:
    """The body for the server at `host`: the client's `fields` as they came, but for the model and how it streams.

    Turns that the client did not send now, and a limit that it did not set, are added.
    """
    body: dict[str, Any] = {**fields, "model": request.model, "messages": write_messages(request, host)}
    if not any(_says(fields, name) for name in _LIMITS):
        body |= write_limit(request, host)
    return encode_body(fit(body | _streaming(fields), host))


def _streaming(fields: _Fields) -> dict[str, Any]:
    """How the answer shall come: as a stream, though the client wants it whole, so that all limits hold meanwhile."""
    if _says(fields, "audio") and bytes(fields.get("stream", _NULL)) != b"true":
        # Most formats of audio exist only as a whole (https://platform.openai.com/docs/guides/audio, 2026-11).
        return {"stream": False}
    options = _read_options(fields.get("stream_options", _NULL)) or {}
    return {"stream": True, "stream_options": {**options, "include_usage": True}}


def _says(fields: _Fields, name: str) -> bool:
    return fields.get(name, _NULL) != _NULL
