"""The messages of OpenAI's chat completions, checked as leniently as its API and the many servers like it do.

The format: https://platform.openai.com/docs/api-reference/chat/create. What changes the meaning of a message and has no
word in tailrace is for an upstream of this format alone; a field that is not known is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.content import Content, read_content
from tailrace.dialects.openai_chat.parts import ContentBody, LenientModel, OtherPart, needing
from tailrace.errors import RequestError
from tailrace.requests import Message, Part, Reasoning, Text, ToolCall, ToolResult

FunctionT = TypeVar("FunctionT")


class FunctionCall(LenientModel):
    """The function of a tool call; `arguments` is JSON text."""

    name: str = Field(min_length=1)
    arguments: str = "{}"


class ToolCallBody(LenientModel):
    """A call that the assistant made in an earlier turn, of a function or of another type of tool."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str = Field(min_length=1)
    type: str = "function"
    function: FunctionCall | None = Field(default=None, validate_default=True)

    @field_validator("function")
    @classmethod
    def _be_there(cls, function: FunctionCall | None, info: ValidationInfo) -> FunctionCall | None:
        return require_function(function, info)

    def to_call(self) -> ToolCall:
        """The same in tailrace's own words."""
        if self.function is None:
            told = needing(type=self.type, **(self.model_extra or {}))
            return ToolCall(id=self.id, name=self.type, arguments="", native=told)
        return ToolCall(id=self.id, name=self.function.name, arguments=self.function.arguments)


def require_function(function: FunctionT | None, info: ValidationInfo) -> FunctionT | None:
    """Raise where a tool, a call or a choice of the type `function` names none."""
    if function is None and info.data.get("type") == "function":
        raise PydanticCustomError("missing", "Field required")
    return function


_INSTEAD_OF_CONTENT: Final = ("tool_calls", "refusal", "reasoning_content", "function_call", "audio")
_PARTS_OF: Final = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url"),
    "assistant": ("text", "refusal"),
    "tool": ("text", "image_url"),
}


class MessageBody(LenientModel):
    """One turn. `reasoning_content` is an earlier answer's reasoning, as DeepSeek's clients hand it back.

    The role `function`, and `function_call`, are OpenAI's retired way.
    """

    # In the order in which the checks need them: each sees the fields before it.
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    name: str | None = None
    tool_calls: list[ToolCallBody] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    function_call: Any = None
    audio: Any = None
    content: ContentBody | None = Field(default=None, validate_default=True)
    tool_call_id: str | None = Field(default=None, validate_default=True)

    @field_validator("tool_calls")
    @classmethod
    def _only_from_the_assistant(
        cls, calls: list[ToolCallBody] | None, info: ValidationInfo
    ) -> list[ToolCallBody] | None:
        if calls and info.data.get("role", "assistant") != "assistant":
            raise ValueError(f"belong to an assistant message, not to one of {info.data['role']}")
        return calls

    @field_validator("content")
    @classmethod
    def _say_something(cls, content: ContentBody | None, info: ValidationInfo) -> ContentBody | None:
        others = _INSTEAD_OF_CONTENT if info.data.get("role") == "assistant" else ()
        if content is None and info.data.get("role") != "function" and not any(map(info.data.get, others)):
            raise PydanticCustomError("missing", "a message needs content")
        return content

    @field_validator("content")
    @classmethod
    def _keep_to_the_role(cls, content: ContentBody | None, info: ValidationInfo) -> ContentBody | None:
        role: str = info.data.get("role", "")
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, OtherPart) and part.type not in _PARTS_OF.get(role, (part.type,)):
                told = "a message of the role {role} takes no part of the type {type}"
                raise PydanticCustomError("invalid_value", told, {"role": role, "type": part.type})
        return content

    @field_validator("tool_call_id")
    @classmethod
    def _name_the_call(cls, call_id: str | None, info: ValidationInfo) -> str | None:
        if not call_id and info.data.get("role") == "tool":
            raise PydanticCustomError("missing", "a tool message needs the id of the call that it answers")
        return call_id

    def to_message(self) -> Message:
        """The same in tailrace's own words."""
        content = read_content(self.content)
        match self.role:
            case "assistant":
                return Message(role="assistant", parts=self._said(content), name=self.name)
            case "tool":
                result = ToolResult(id=self.tool_call_id or "", content=content)
                return Message(role="tool", parts=(result,), name=self.name)
            case "function":
                retired = {"role": "function", "name": self.name, "content": self.content}
                return Message(role="tool", parts=(needing(function=retired),), name=self.name)
            case "developer":
                return Message(role="system", parts=content, name=self.name)
            case role:
                return Message(role=role, parts=content, name=self.name)

    def _said(self, content: tuple[Content, ...]) -> tuple[Part, ...]:
        thought = (Reasoning(text=self.reasoning_content),) if self.reasoning_content else ()
        refused = (Text(text=self.refusal),) if self.refusal else ()
        calls = (call.to_call() for call in self.tool_calls or ())
        others = {"function_call": self.function_call, "audio": self.audio}
        needs = {name: value for name, value in others.items() if value is not None}
        return (*thought, *content, *refused, *calls, *((needing(**needs),) if needs else ()))


def check_results(messages: Sequence[MessageBody]) -> None:
    """Raise RequestError 400 for a tool's result whose call stands in no turn before it."""
    made: set[str] = set()
    for place, message in enumerate(messages):
        made.update(call.id for call in message.tool_calls or ())
        if message.role == "tool" and message.tool_call_id not in made:
            param = f"messages[{place}].tool_call_id"
            said = (message.tool_call_id or "")[:80]
            told = f"{param}: no assistant message before it has a tool call with the id {said!r}"
            raise RequestError(400, "invalid_value", told, field=param)
