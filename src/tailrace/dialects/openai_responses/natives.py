"""What only an upstream that speaks this format itself understands."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

from tailrace.requests import Native

KIND: Final = "openai_responses"
"""The kind of the providers that speak it."""


class OtherBody(BaseModel):
    """A part or a tool of a type that has no word in tailrace."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str

    def to_part(self) -> Native:
        """The same as it came."""
        return Native(format=KIND, needs={"type": self.type, **(self.model_extra or {})})
