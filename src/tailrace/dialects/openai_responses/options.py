"""How an answer is wanted: its format, its reasoning, the conversation that it belongs to.

The format: https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag

from tailrace.dialects.openai_chat.parts import LenientModel
from tailrace.requests import ResponseFormat


class PlainFormat(LenientModel):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"]

    def to_format(self) -> ResponseFormat | None:
        """The same in tailrace's own words."""
        return None if self.type == "text" else ResponseFormat()


class SchemaFormat(LenientModel):
    """JSON that obeys a schema."""

    type: Literal["json_schema"]
    name: str | None = Field(default=None, min_length=1)
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None

    def to_format(self) -> ResponseFormat | None:
        """The same in tailrace's own words."""
        return ResponseFormat(name=self.name, description=self.description, schema=self.schema_, strict=self.strict)


def _branch_of_format(value: object) -> str:
    match value:
        case {"type": "json_schema"} | SchemaFormat():
            return "<schema>"
        case _:
            return "<plain>"


class TextBody(LenientModel):
    """What the answer's text is to be like."""

    format: (
        Annotated[
            Annotated[PlainFormat, Tag("<plain>")] | Annotated[SchemaFormat, Tag("<schema>")],
            Discriminator(_branch_of_format),
        ]
        | None
    ) = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningBody(LenientModel):
    """How much to think. Reasoning is shown as the upstream gives it, whatever `summary` asks for."""

    effort: str | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ConversationBody(LenientModel):
    """A conversation by its id."""

    id: str = Field(min_length=1, max_length=200)


def _by_id(value: object) -> object:
    return {"id": value} if isinstance(value, str) else value


ConversationField: TypeAlias = Annotated[ConversationBody | None, BeforeValidator(_by_id)]
