"""The content of OpenAI's messages: text, images, and what only an upstream of this format understands.

The format: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from tailrace.dialects.content import ImageAddress, branch_of_content, branch_of_part, read_image
from tailrace.requests import Image, Native, Text

KIND: Final = "openai"
"""The kind of the providers that speak this format."""


class LenientModel(BaseModel):
    """A part of a body of which only what is known is read."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def needing(**fields: Any) -> Native:
    """What no word of tailrace's says, for an upstream of this format; all others refuse it."""
    return Native(format=KIND, needs=fields)


class TextPart(LenientModel):
    """A piece of text."""

    type: Literal["text"]
    text: str

    def to_part(self) -> Text:
        """The same in tailrace's own words."""
        return Text(text=self.text)


class RefusalPart(LenientModel):
    """The model's own words of refusal, in an earlier answer."""

    type: Literal["refusal"]
    refusal: str

    def to_part(self) -> Text:
        """The same in tailrace's own words."""
        return Text(text=self.refusal)


class ImageUrl(LenientModel):
    """Where an image is, and how closely it is to be looked at."""

    url: ImageAddress
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(LenientModel):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl

    def to_part(self) -> Image:
        """The same in tailrace's own words."""
        return read_image(self.image_url.url, self.image_url.detail)


class OtherPart(BaseModel):
    """A part of any other type: a recording, a file, whatever the upstream knows."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str

    def to_part(self) -> Native:
        """The same as it came."""
        return needing(type=self.type, **(self.model_extra or {}))


_KNOWN: Final = frozenset({"<text>", "<image_url>", "<refusal>"})


def _branch_of_part(part: object) -> str | None:
    match part:
        case OtherPart() | {"type": str()} if branch_of_part(part) not in _KNOWN:
            return "<other>"
        case _:
            return branch_of_part(part)


PartBody: TypeAlias = Annotated[
    Annotated[TextPart, Tag("<text>")]
    | Annotated[ImagePart, Tag("<image_url>")]
    | Annotated[RefusalPart, Tag("<refusal>")]
    | Annotated[OtherPart, Tag("<other>")],
    Discriminator(
        _branch_of_part,
        custom_error_type="invalid_value",
        custom_error_message="Input should be an object whose type is text or image_url",
    ),
]
ContentBody: TypeAlias = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[PartBody], Field(min_length=1), Tag("<parts>")],
    Discriminator(
        branch_of_content,
        custom_error_type="content_type",
        custom_error_message="Input should be a string or an array of parts",
    ),
]
