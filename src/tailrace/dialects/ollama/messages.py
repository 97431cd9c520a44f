"""The messages of Ollama's chat, as leniently as its server reads them.

The format: https://docs.ollama.com/api/chat. A tool's result names its call by id, by the tool's name, or not at all:
Ollama's Python client keeps no ids. So calls without an id are given one, and results find theirs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.ollama.images import ImageField, read_image
from tailrace.dialects.ollama.tools import LenientModel
from tailrace.errors import RequestError
from tailrace.requests import Image, Message, Reasoning, Text, ToolCall, ToolResult


class FunctionCall(LenientModel):
    """The function of a tool call; its arguments are an object."""

    name: str = Field(min_length=1)
    arguments: dict[str, Any] = Field(default={})


class ToolCallBody(LenientModel):
    """A call that the assistant made in an earlier turn."""

    id: str | None = None
    function: FunctionCall


def _lower(role: object) -> object:
    return role.lower() if isinstance(role, str) else role


class MessageBody(LenientModel):
    """One turn. `name` is an older word for `tool_name`."""

    # In the order in which the checks need them: each sees the fields before it.
    role: Annotated[Literal["system", "user", "assistant", "tool"], BeforeValidator(_lower)]
    content: str | None = None
    thinking: str | None = None
    images: list[ImageField] | None = Field(default=None, description="Base64, in a turn of the user or a tool.")
    tool_calls: list[ToolCallBody] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    name: str | None = None

    @field_validator("images")
    @classmethod
    def _only_where_shown(cls, images: list[str] | None, info: ValidationInfo) -> list[str] | None:
        return _only_of(images, info, "user", "tool")

    @field_validator("tool_calls")
    @classmethod
    def _only_from_the_assistant(
        cls, calls: list[ToolCallBody] | None, info: ValidationInfo
    ) -> list[ToolCallBody] | None:
        return _only_of(calls, info, "assistant")

    def shown(self) -> tuple[Text | Image, ...]:
        """Text and images."""
        text = (Text(text=self.content),) if self.content else ()
        return (*text, *map(read_image, self.images or ()))


def _only_of(value: list[Any] | None, info: ValidationInfo, *roles: str) -> list[Any] | None:
    role: str = info.data.get("role", roles[0])
    if value and role not in roles:
        told = "a message of the role {role} takes none"
        raise PydanticCustomError("invalid_value", told, {"role": role})
    return value


def read_messages(bodies: Sequence[MessageBody]) -> tuple[Message, ...]:
    """The conversation in tailrace's own words. Raises RequestError 400 for a tool's result without its call."""
    calls = _Calls()
    return tuple(_read(body, calls, f"messages[{place}]") for place, body in enumerate(bodies))


def _read(body: MessageBody, calls: _Calls, field: str) -> Message:
    match body.role:
        case "assistant":
            thought = (Reasoning(text=body.thinking),) if body.thinking else ()
            made = tuple(calls.begin(call) for call in body.tool_calls or ())
            return Message(role="assistant", parts=(*thought, *body.shown(), *made))
        case "tool":
            return Message(role="tool", parts=(ToolResult(id=calls.answer(body, field), content=body.shown()),))
        case role:
            return Message(role=role, parts=body.shown())


class _Calls:
    """The calls of a conversation that have no result yet, in order; `given` are the ids that the client chose."""

    def __init__(self) -> None:
        self._open: list[ToolCall] = []
        self._given: set[str] = set()
        self._count = 0

    def begin(self, call: ToolCallBody) -> ToolCall:
        self._count += 1
        if call.id:
            self._given.add(call.id)
        arguments = json.dumps(call.function.arguments, ensure_ascii=False, separators=(",", ":"))
        # Nine letters and digits: Mistral takes no other id, and all others take these.
        made = ToolCall(id=call.id or f"call{self._count:05d}", name=call.function.name, arguments=arguments)
        self._open.append(made)
        return made

    def answer(self, body: MessageBody, field: str) -> str:
        """The id of the call that a message answers."""
        named = (call for call in self._open if call.id == body.tool_call_id)
        found = next(named, None) or next((call for call in self._open if self._fits(call, body)), None)
        if found is None:
            told = f"{field}: no assistant message before it has a tool call that it could answer"
            raise RequestError(400, "invalid_value", told, field=field)
        self._open.remove(found)
        return found.id

    def _fits(self, call: ToolCall, body: MessageBody) -> bool:
        """Whether a result that names no id of ours may be this call's."""
        if body.tool_call_id and call.id in self._given:
            return False
        name = body.tool_name or body.name
        return not name or name == call.name
