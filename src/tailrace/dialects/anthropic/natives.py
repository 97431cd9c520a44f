"""What only Anthropic's own upstreams understand, kept as it was said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict

from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, Native

FORMAT: Final = "anthropic"
"""The kind of the providers that speak this format."""

BETAS: Final = "anthropic-beta"
"""The header that names beta features, and the hint that carries it."""

# What an upstream can do without, since it says nothing of what is asked: where to cache, and who called.
_HINTS: Final = frozenset({"cache_control", "citations", "caller", "toolset_name", "eager_input_streaming"})
_BETA_NAMES: Final = re.compile(r"[\w.,:/ -]{1,2000}", re.ASCII)


class Keeping(BaseModel):
    """A part of a body that keeps the fields that it does not know."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def native(self) -> Native | None:
        """Those fields."""
        return keep(self.model_extra or {})


def keep(fields: Mapping[str, Any]) -> Native | None:
    """Fields as they were said; None where there are none."""
    said = {name: value for name, value in fields.items() if value is not None}
    if not said:
        return None
    hints = {name: value for name, value in said.items() if name in _HINTS}
    return Native(format=FORMAT, needs={name: said[name] for name in said if name not in hints}, hints=hints)


def add_betas(request: ChatRequest, header: str | None) -> ChatRequest:
    """The request with the beta features that its header asks for. Raises RequestError 400 for no list of names."""
    if not header or request.native is None:
        return request
    if not _BETA_NAMES.fullmatch(header):
        raise RequestError(400, "invalid_value", f"{BETAS}: must be names, separated by commas", field=BETAS)
    hints = {**request.native.hints, BETAS: header}
    return msgspec.structs.replace(request, native=msgspec.structs.replace(request.native, hints=hints))
