"""The tools of a request, and which of them the model is to call.

The format: https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from tailrace.dialects.openai_chat.parts import LenientModel
from tailrace.dialects.openai_responses.natives import OtherBody
from tailrace.requests import Tool

Choice: TypeAlias = Literal["auto", "none", "required"] | tuple[Literal["tool"], str]


class FunctionBody(LenientModel):
    """A function of the client's that the model may call; `parameters` is a JSON Schema."""

    type: Literal["function"]
    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def to_tool(self) -> Tool:
        """The same in tailrace's own words."""
        return Tool(name=self.name, description=self.description, parameters=self.parameters, strict=self.strict)


class OtherTool(OtherBody):
    """A tool that OpenAI's servers run or define themselves."""

    def to_tool(self) -> Tool:
        """The same in tailrace's own words."""
        return Tool(name=self.type, native=self.to_part())


def _branch_of_tool(tool: object) -> str | None:
    match tool:
        case {"type": "function"} | FunctionBody():
            return "<function>"
        case {"type": str()} | OtherTool():
            return "<other>"
        case _:
            return None


ToolBody: TypeAlias = Annotated[
    Annotated[FunctionBody, Tag("<function>")] | Annotated[OtherTool, Tag("<other>")],
    Discriminator(
        _branch_of_tool, custom_error_type="invalid_value", custom_error_message="Input should be an object with a type"
    ),
]


class NamedTool(LenientModel):
    """This function and no other."""

    type: Literal["function"]
    name: str = Field(min_length=1)


class AllowedTools(LenientModel):
    """Of all the tools only these."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[NamedTool] = Field(min_length=1)


class OtherChoice(OtherBody):
    """A tool that OpenAI's servers run or define themselves, or some tools with such among them."""


def _branch(choice: object) -> str:
    match choice:
        case str():
            return "<mode>"
        case {"type": "allowed_tools", "tools": list(tools)} if any(map(_is_other, tools)):
            return "<other>"
        case {"type": "allowed_tools"} | AllowedTools():
            return "<allowed>"
        case {"type": "function"} | NamedTool():
            return "<named>"
        case {"type": str()} | OtherChoice():
            return "<other>"
        case _:
            return "<>"


def _is_other(tool: object) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("type"), str) and tool["type"] != "function"


_WANTED: Final = 'Input should be auto, none, required or {"type": "function", "name": …}'
ToolChoiceField: TypeAlias = Annotated[
    Annotated[Literal["auto", "none", "required"], Tag("<mode>")]
    | Annotated[AllowedTools, Tag("<allowed>")]
    | Annotated[NamedTool, Tag("<named>")]
    | Annotated[OtherChoice, Tag("<other>")],
    Discriminator(_branch, custom_error_type="invalid_value", custom_error_message=_WANTED),
]


def choose_tools(
    tools: Sequence[ToolBody],
    choice: Literal["auto", "none", "required"] | AllowedTools | NamedTool | OtherChoice | None,
) -> tuple[tuple[Tool, ...], Choice | None]:
    """The tools that the model is told of, and which it is to call."""
    written = tuple(tool.to_tool() for tool in tools)
    match choice:
        case AllowedTools(mode=mode, tools=allowed):
            names = {tool.name for tool in allowed}
            return tuple(tool for tool in written if tool.name in names), mode
        case NamedTool(name=name):
            return written, ("tool", name)
        case OtherChoice():
            return written, None
        case _:
            return written, choice
