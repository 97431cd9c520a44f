"""Anthropic's list of models.

The format: https://platform.claude.com/docs/en/api/models/list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailrace.dialects.base import json_bytes

# What the format has for a model whose age nobody knows.
_UNKNOWN_AGE: Final = "1970-01-01T00:00:00Z"


def list_anthropic_models(names: Sequence[str]) -> bytes:
    """The body of `GET /v1/models` for clients of Anthropic's, all in one page."""
    first, last = (names[0], names[-1]) if names else (None, None)
    return json_bytes({"data": [_model(name) for name in names], "has_more": False, "first_id": first, "last_id": last})


def _model(name: str) -> dict[str, str]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _UNKNOWN_AGE, "lifecycle": "active"}
