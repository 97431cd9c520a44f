"""The blocks of a message's content.

The format: https://platform.claude.com/docs/en/api/messages/create. A block of a type that has no word here, such as a
document or the result of a search of Anthropic's, is kept as it is, for Anthropic's own upstreams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from tailrace.dialects.anthropic.natives import FORMAT, Keeping
from tailrace.dialects.base import json_bytes
from tailrace.dialects.content import branch_of_content, read_content
from tailrace.requests import Image, Native, Reasoning, Text, ToolCall, ToolResult

_KNOWN: Final = ("text", "image", "thinking", "redacted_thinking", "tool_use", "tool_result")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextBlock(Keeping):
    """A piece of text."""

    type: Literal["text"]
    text: str

    def to_part(self) -> Text:
        """The same in tailrace's own words."""
        return Text(text=self.text, native=self.native)


class Base64Source(_Strict):
    """An image's bytes."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str = Field(min_length=1)


class UrlSource(_Strict):
    """An image's address, which the upstream fetches; tailrace never does."""

    type: Literal["url"]
    url: str = Field(min_length=1)


def _refuse_file(source: object) -> object:
    match source:
        case {"type": "file"}:
            told = "a file of Anthropic's Files API can't be had here; send base64 or a url"
            raise PydanticCustomError("unsupported", told)
        case _:
            return source


def _branch_by_type(*known: str) -> Callable[[object], str | None]:
    """Tells the branch of an object by its type; `<other>` is any type that is not known."""

    def branch(value: object) -> str | None:
        match value:
            case {"type": str(kind)}:
                return f"<{kind}>" if kind in known else "<other>"
            case _:
                return None

    return branch


_SourceBody: TypeAlias = Annotated[
    Annotated[Base64Source, Tag("<base64>")] | Annotated[UrlSource, Tag("<url>")],
    Discriminator(
        _branch_by_type("base64", "url"),
        custom_error_type="invalid_value",
        custom_error_message="Input should be an object whose type is base64 or url",
    ),
    BeforeValidator(_refuse_file),
]


class ImageBlock(Keeping):
    """An image."""

    type: Literal["image"]
    source: _SourceBody

    def to_part(self) -> Image:
        """The same in tailrace's own words."""
        match self.source:
            case Base64Source(media_type=media_type, data=data):
                return Image(data=data, media_type=media_type, native=self.native)
            case UrlSource(url=url):
                return Image(url=url, native=self.native)


class ThinkingBlock(Keeping):
    """Reasoning of an earlier answer. Without a signature it is not Anthropic's."""

    type: Literal["thinking"]
    thinking: str
    signature: str

    def to_part(self) -> Reasoning | Native:
        """The same in tailrace's own words, or as it is where these are too few."""
        return _whole(self) or Reasoning(text=self.thinking, signature=self.signature or None)


class RedactedBlock(Keeping):
    """Reasoning of an earlier answer that Anthropic does not show."""

    type: Literal["redacted_thinking"]
    data: str

    def to_part(self) -> Reasoning | Native:
        """The same in tailrace's own words, or as it is where these are too few."""
        return _whole(self) or Reasoning(text="", redacted=self.data)


def _whole(block: Keeping) -> Native | None:
    """A block with fields that are not known, all of it."""
    return None if block.native is None else Native(format=FORMAT, needs=block.model_dump(exclude_none=True))


class ToolUseBlock(Keeping):
    """A call that the assistant made."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    input: dict[str, Any]

    def to_part(self) -> ToolCall:
        """The same in tailrace's own words."""
        return ToolCall(id=self.id, name=self.name, arguments=json_bytes(self.input).decode(), native=self.native)


class OtherBlock(Keeping):
    """A block that has no word here."""

    type: Annotated[str, WithJsonSchema({"type": "string", "not": {"enum": list(_KNOWN)}})]

    def to_part(self) -> Native:
        """The block as it is."""
        return Native(format=FORMAT, needs={"type": self.type, **(self.model_extra or {})})


_ResultBlock: TypeAlias = Annotated[
    Annotated[TextBlock, Tag("<text>")] | Annotated[ImageBlock, Tag("<image>")] | Annotated[OtherBlock, Tag("<other>")],
    Discriminator(
        _branch_by_type("text", "image"),
        custom_error_type="invalid_value",
        custom_error_message="Input should be an object with a type, such as text or image",
    ),
]
_ResultContent: TypeAlias = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[_ResultBlock], Tag("<parts>")],
    Discriminator(
        branch_of_content,
        custom_error_type="content_type",
        custom_error_message="Input should be a string or an array of blocks",
    ),
]


class ToolResultBlock(Keeping):
    """What a tool answered."""

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1)
    content: _ResultContent | None = None
    is_error: bool | None = None

    def to_part(self) -> ToolResult:
        """The same in tailrace's own words."""
        content = read_content(self.content)
        return ToolResult(id=self.tool_use_id, content=content, is_error=bool(self.is_error), native=self.native)


BlockBody: TypeAlias = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ImageBlock, Tag("<image>")]
    | Annotated[ThinkingBlock, Tag("<thinking>")]
    | Annotated[RedactedBlock, Tag("<redacted_thinking>")]
    | Annotated[ToolUseBlock, Tag("<tool_use>")]
    | Annotated[ToolResultBlock, Tag("<tool_result>")]
    | Annotated[OtherBlock, Tag("<other>")],
    Discriminator(
        _branch_by_type(*_KNOWN),
        custom_error_type="invalid_value",
        custom_error_message="Input should be an object with a type, such as text, image, tool_use or tool_result",
    ),
]
ContentBody: TypeAlias = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[BlockBody], Tag("<parts>")],
    Discriminator(
        branch_of_content,
        custom_error_type="content_type",
        custom_error_message="Input should be a string or an array of blocks",
    ),
]
