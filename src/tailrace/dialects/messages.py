"""The messages of a body, written as OpenAI's chat completions write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from tailrace.errors import RequestError
from tailrace.requests import Image, Message, Text, ToolCall, ToolResult


class StrictModel(BaseModel):
    """A part of a body: nothing in it that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class TextPart(StrictModel):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(StrictModel):
    """An image's address: a `data:` URL, or one that the upstream fetches; tailrace never does."""

    url: str = Field(min_length=1)
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(StrictModel):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


def branch_of_part(part: object) -> str | None:
    """The tag of a part, by its type; None where it is no object."""
    return f"<{part.get('type')}>" if isinstance(part, dict) else None


def branch_of_content(content: object) -> str | None:
    """The tag of a message's content: text, or a list of parts."""
    match content:
        case str():
            return "<text>"
        case list():
            return "<parts>"
        case _:
            return None


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
        content = _content(self.content)
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


def _content(content: str | list[TextPart | ImagePart] | None) -> tuple[Text | Image, ...]:
    match content:
        case None:
            return ()
        case str():
            return (Text(text=content),)
        case _:
            return tuple(_part(part) for part in content)


def _part(part: TextPart | ImagePart) -> Text | Image:
    if isinstance(part, TextPart):
        return Text(text=part.text)
    url = part.image_url.url
    if url.startswith("data:") and ";base64," in url:
        media_type, _, data = url.removeprefix("data:").partition(";base64,")
        return Image(data=data, media_type=media_type, detail=part.image_url.detail)
    return Image(url=url, detail=part.image_url.detail)
