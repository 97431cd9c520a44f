"""OpenAI's list of models.

The format: https://platform.openai.com/docs/api-reference/models/list.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.dialects.base import json_bytes


def list_models(names: Sequence[str], created: int) -> bytes:
    """The body of `GET /v1/models`. `created` is Unix time in seconds; a model is owned by the provider in its name."""
    return json_bytes({"object": "list", "data": [_model(name, created) for name in names]})


def _model(name: str, created: int) -> dict[str, str | int]:
    provider, slash, _ = name.partition("/")
    return {"id": name, "object": "model", "created": created, "owned_by": provider if slash else "tailrace"}
