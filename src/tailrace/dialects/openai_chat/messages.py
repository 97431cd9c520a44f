"""The messages of OpenAI's chat completions, checked as leniently as its API and the many servers like it do.

The format: https://platform.openai.com/docs/api-reference/chat/create. What changes the meaning of a message and can't
be handed on is refused; a field that is not known is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.openai_chat.parts import ContentBody, LenientModel, read_content, refuse
from tailrace.errors import RequestError
from tailrace.requests import Image, Message, Part, Reasoning, Text, ToolCall, ToolResult


class FunctionCall(LenientModel):
    """The function of a tool call; `arguments` is JSON text."""

    name: str = Field(min_length=1)
    arguments: str = "{}"


class ToolCallBody(LenientModel):
    """A call that the assistant made in an earlier turn."""

    id: str = Field(min_length=1)
    type: Literal["function"] = "function"
    function: FunctionCall


def _refuse_function(role: object) -> object:
    if role == "function":
        raise PydanticCustomError("unsupported", "function is OpenAI's retired role; send tool, with its tool_call_id")
    return role


_NO_CALLS: Final = "it is OpenAI's retired way; send tool_calls"
_NO_AUDIO: Final = "send what was said as content"
_PARTS_OF: Final = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url"),
    "assistant": ("text", "refusal"),
    "tool": ("text", "image_url"),
}


class MessageBody(LenientModel):
    """One turn. `reasoning_content` is an earlier answer's reasoning, as DeepSeek's clients hand it back."""

    # In the order in which the checks need them: each sees the fields before it.
    role: Annotated[
        Literal["system", "developer", "user", "assistant", "tool"],
        BeforeValidator(_refuse_function),
    ]
    name: str | None = None
    tool_calls: list[ToolCallBody] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    function_call: Annotated[Any, refuse(_NO_CALLS)] = None
    audio: Annotated[Any, refuse(_NO_AUDIO)] = None
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
        others = ("tool_calls", "refusal", "reasoning_content") if info.data.get("role") == "assistant" else ()
        if content is None and not any(info.data.get(other) for other in others):
            raise PydanticCustomError("missing", "a message needs content")
        return content

    @field_validator("content")
    @classmethod
    def _keep_to_the_role(cls, content: ContentBody | None, info: ValidationInfo) -> ContentBody | None:
        role: str = info.data.get("role", "")
        for part in content if isinstance(content, list) else ():
            if part.type not in _PARTS_OF.get(role, (part.type,)):
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
            case "developer":
                return Message(role="system", parts=content, name=self.name)
            case role:
                return Message(role=role, parts=content, name=self.name)

    def _said(self, content: tuple[Text | Image, ...]) -> tuple[Part, ...]:
        thought = (Reasoning(text=self.reasoning_content),) if self.reasoning_content else ()
        refused = (Text(text=self.refusal),) if self.refusal else ()
        calls = (
            ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in self.tool_calls or ()
        )
        return (*thought, *content, *refused, *calls)


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
