"""What the routes for tokens and usage take, checked field by field."""

from __future__ import annotations

import re
import time
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, Field, PlainValidator, WithJsonSchema

from tailrace.dialects.messages import StrictModel
from tailrace.keys import ModelName, Name
from tailrace.moments import read_past
from tailrace.web.auth import Terms

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@\\]+")
_DEFAULT_SINCE_S: Final = 7 * 86400


def _read_origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text.lower()):
        raise ValueError("must be an origin such as https://app.example, without a path")
    return text.lower()


def _read_since(value: object) -> float:
    return read_past(str(value).strip(), time.time())


class TokenBody(StrictModel):
    """What a browser token is to allow: less than the key that asks for it, never more."""

    ttl_seconds: int = Field(default=60, ge=1, le=3600, description="How long it may be used for new requests.")
    user: Name | None = Field(default=None, description="The application's user.")
    session_id: str | None = Field(default=None, min_length=1, max_length=200, description="The only session.")
    models: Annotated[list[ModelName], Field(min_length=1, max_length=20)] | None = Field(
        default=None, description="The only models."
    )
    origin: Annotated[str, Field(max_length=200), AfterValidator(_read_origin)] | None = Field(
        default=None, description="The only web origin whose pages may use it."
    )

    def to_terms(self) -> Terms:
        """The same in the gate's words."""
        return Terms(
            ttl_s=self.ttl_seconds,
            user=self.user,
            session_id=self.session_id,
            models=None if self.models is None else tuple(dict.fromkeys(self.models)),
            origin=self.origin,
        )


SinceField: TypeAlias = Annotated[
    float,
    PlainValidator(_read_since),
    WithJsonSchema({"type": "string", "default": "7d", "examples": ["7d", "24h", "2026-01-31"]}),
]
FormatField: TypeAlias = Literal["json", "csv"] | None


class UsageQuery(StrictModel):
    """Which sums are asked for."""

    by: Literal["key", "model", "day", "status"] = Field(default="key", description="What to sum over; days are UTC's.")
    since: SinceField = Field(
        default_factory=lambda: time.time() - _DEFAULT_SINCE_S, description="A span until now, or a date."
    )
    format: FormatField = Field(default=None, description="Else what Accept says.")


class GenerationsQuery(StrictModel):
    """Which rows are asked for."""

    limit: int = Field(default=50, ge=1, le=500)
    cursor: str | None = Field(default=None, description="`next_cursor` of the page before.")
    format: FormatField = Field(default=None, description="Else what Accept says.")


class TokenFace(BaseModel):
    """A browser token, and its end in Unix time."""

    token: str
    expires_at: int
