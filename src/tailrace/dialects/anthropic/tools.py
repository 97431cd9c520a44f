"""The tools of a request, and which of them the model may call.

The format: https://platform.claude.com/docs/en/api/messages/create.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.anthropic.natives import FORMAT, Keeping
from tailrace.requests import Native, Tool


class CustomTool(Keeping):
    """A function of the client's; `input_schema` is a JSON Schema of an object."""

    type: Literal["custom"] | None = None
    name: str = Field(min_length=1, max_length=128)
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None

    @field_validator("input_schema")
    @classmethod
    def _be_an_object(cls, schema: dict[str, Any]) -> dict[str, Any]:
        if schema.get("type") != "object":
            raise ValueError('the schema of a tool\'s input needs "type": "object"')
        return schema

    def to_tool(self) -> Tool:
        """The same in tailrace's own words."""
        return Tool(
            name=self.name,
            description=self.description,
            parameters=self.input_schema,
            strict=self.strict,
            native=self.native,
        )


class OwnTool(Keeping):
    """A tool of Anthropic's: one that it runs itself, or whose schema it knows."""

    type: Annotated[str, WithJsonSchema({"type": "string", "not": {"const": "custom"}})]
    name: str | None = None

    def to_tool(self) -> Tool:
        """The tool as it is."""
        return Tool(name=self.name or self.type, native=Native(format=FORMAT, needs=self.model_dump(exclude_none=True)))


def _branch(tool: object) -> str | None:
    match tool:
        case {"type": str(kind)} if kind != "custom":
            return "<own>"
        case dict():
            return "<custom>"
        case _:
            return None


ToolBody: TypeAlias = Annotated[
    Annotated[CustomTool, Tag("<custom>")] | Annotated[OwnTool, Tag("<own>")],
    Discriminator(_branch, custom_error_type="invalid_value", custom_error_message="Input should be a tool"),
]


class ToolChoiceBody(Keeping):
    """Which tools: as the model likes, at least one, this one, none."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(default=None, min_length=1, validate_default=True)
    disable_parallel_tool_use: bool | None = None

    @field_validator("name")
    @classmethod
    def _name_a_tool(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None and info.data.get("type") == "tool":
            raise PydanticCustomError("missing", "Field required")
        return name

    @property
    def choice(self) -> Literal["auto", "none", "required"] | tuple[Literal["tool"], str]:
        """The same in tailrace's own words."""
        match self.type:
            case "tool":
                return ("tool", self.name or "")
            case "any":
                return "required"
            case other:
                return other
