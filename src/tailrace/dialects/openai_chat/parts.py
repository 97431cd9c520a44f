"""The content of OpenAI's messages: text, images, and what only an upstream of this format understands.

The format: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from tailrace.dialects.messages import branch_of_content, branch_of_part
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


class RefusalPart(LenientModel):
    """The model's own words of refusal, in an earlier answer."""

    type: Literal["refusal"]
    refusal: str


class ImageUrl(LenientModel):
    """An image's address: a `data:` URL in base64, or one that the upstream fetches; tailrace never does."""

    url: str = Field(min_length=1)
    detail: Literal["auto", "low", "high", "original"] | None = None

    @field_validator("url")
    @classmethod
    def _check_data(cls, url: str) -> str:
        head, comma, _ = url.partition(",")
        if head[:5].lower() == "data:" and not (comma and head.endswith(";base64") and "/" in head):
            raise ValueError("a data: URL needs a media type and base64: data:image/png;base64,…")
        return url


class ImagePart(LenientModel):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class OtherPart(BaseModel):
    """A part of any other type: a recording, a file, whatever the upstream knows."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str

    def to_native(self) -> Native:
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


def read_content(content: str | list[PartBody] | None) -> tuple[Text | Image | Native, ...]:
    """A message's content in tailrace's own words."""
    match content:
        case None:
            return ()
        case str():
            return (Text(text=content),)
        case _:
            return tuple(_part(part) for part in content)


def _part(part: TextPart | ImagePart | RefusalPart | OtherPart) -> Text | Image | Native:
    match part:
        case OtherPart():
            return part.to_native()
        case TextPart():
            return Text(text=part.text)
        case RefusalPart():
            return Text(text=part.refusal)
        case ImagePart():
            return _image(part.image_url)


def _image(image: ImageUrl) -> Image:
    head, _, data = image.url.partition(",")
    if head[:5].lower() != "data:":
        return Image(url=image.url, detail=image.detail)
    return Image(data=data, media_type=head[5:].removesuffix(";base64"), detail=image.detail)
