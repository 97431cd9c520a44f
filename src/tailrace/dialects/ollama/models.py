"""What Ollama's clients ask about models.

The format: https://docs.ollama.com/api/tags and https://docs.ollama.com/api-reference/show-model-details.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.dialects.base import json_bytes
from tailrace.dialects.ollama.answer import timestamp

_API_VERSION: Final = "0.24.0"
"""The version of Ollama whose API this is. Clients compare it with the one that they need."""

# What may be asked of any model, because what an upstream's model can do is not known here; one that can't refuses.
_CAPABILITIES: Final = ("completion", "tools", "vision")


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model by its public name, and the provider that answers for it; `since` is Unix time in seconds."""

    name: str
    provider: str
    since: float


def list_tags(models: Sequence[ListedModel]) -> bytes:
    """The body of `GET /api/tags`."""
    return json_bytes({"models": [_listed(model) for model in models]})


def list_running() -> bytes:
    """The body of `GET /api/ps`: no model is loaded here."""
    return json_bytes({"models": []})


def show_model(model: ListedModel) -> bytes:
    """The body of `POST /api/show`. Templates, parameters and weights are the upstream's own affair."""
    return json_bytes(
        {
            "modelfile": "",
            "parameters": "",
            "template": "",
            "details": _details(model),
            "model_info": {},
            "capabilities": _CAPABILITIES,
            "modified_at": timestamp(model.since),
        }
    )


def tell_version() -> bytes:
    """The body of `GET /api/version`."""
    return json_bytes({"version": _API_VERSION})


def _listed(model: ListedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": timestamp(model.since),
        "size": 0,
        # Clients show its beginning, and tell models apart by it.
        "digest": hashlib.sha256(model.name.encode()).hexdigest(),
        "details": _details(model),
        "capabilities": _CAPABILITIES,
    }


def _details(model: ListedModel) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "",
        "family": model.provider,
        "families": [model.provider],
        "parameter_size": "",
        "quantization_level": "",
    }
