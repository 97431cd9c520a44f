"""The messages of a body, written as OpenAI's chat completions write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from tailrace.dialects.content import ImageAddress, branch_of_content, branch_of_part, read_content, read_image
from tailrace.errors import RequestError
from tailrace.requests import Image, Message, Text, ToolCall, ToolResult


class StrictModel(BaseModel):
    """A part of a body: nothing in it that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class TextPart(StrictModel):
    """A piece of text."""

    type: Literal["text"]
    text: str

    def to_part(self) -> Text:
        """The same in tailrace's own words."""
        return Text(text=self.text)


class ImageUrl(StrictModel):
    """Where an image is."""

    url: ImageAddress
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(StrictModel):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl

    def to_part(self) -> Image:
        """The same in tailrace's own words."""
        return read_image(self.image_url.url, self.image_url.detail)


PartBody: TypeAlias = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[ImagePart, Tag("<image_url>")],
    Discriminator(
        branch_of_part,
        custom_error_type="part",
        custom_error_message="Input should be an object whose type is text or image_url",
    ),
]
ContentBody: TypeAlias = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[PartBody], Field(min_length=1), Tag("<parts>")],
    Discriminator(
        branch_of_content,
        custom_error_type="content",
        custom_error_message="Input should be a string or an array of parts",
    ),
]


class FunctionCall(StrictModel):
    """The function of a tool call; `arguments` is JSON text."""

    name: str = Field(min_length=1)
    arguments: str = "{}"


class ToolCallPart(StrictModel):
    """A call that the assistant made in an earlier turn."""

    id: str = Field(min_length=1)
    type: Literal["function"] = "function"
    function: FunctionCall


class MessageBody(StrictModel):
    """One turn, as OpenAI's chat completions write it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: ContentBody | None = None
    name: str | None = None
    tool_calls: list[ToolCallPart] = []
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _say_something(self) -> MessageBody:
        if self.content is None and not self.tool_calls:
            raise ValueError("a message needs content")
        return self

    @model_validator(mode="after")
    def _keep_to_the_role(self) -> MessageBody:
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool message needs the tool_call_id that it answers")
        if self.role != "tool" and self.tool_call_id is not None:
            raise ValueError(f"tool_call_id belongs to a tool message, not to one of {self.role}")
        if self.role != "assistant" and self.tool_calls:
            raise ValueError(f"tool_calls belong to an assistant message, not to one of {self.role}")
        return self

    def to_message(self) -> Message:
        """The same in tailrace's own words."""
        content = read_content(self.content)
        if self.role == "tool":
            result = ToolResult(id=self.tool_call_id or "", content=content)
            return Message(role="tool", parts=(result,), name=self.name)
        calls = (
            ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments) for call in self.tool_calls
        )
        role = "system" if self.role == "developer" else self.role
        return Message(role=role, parts=(*content, *calls), name=self.name)


def check_results(messages: Sequence[MessageBody]) -> None:
    """Raise RequestError 422 for a tool's result whose call stands in no turn before it."""
    made: set[str] = set()
    for place, message in enumerate(messages):
        made.update(call.id for call in message.tool_calls)
        if message.role == "tool" and message.tool_call_id not in made:
            field = f"messages.{place}.tool_call_id"
            said = (message.tool_call_id or "")[:80]
            told = f"{field}: no assistant message before it has a tool call with the id {said!r}"
            raise RequestError(422, "invalid_field", told, field=field)
