"""The content of OpenAI's messages: text, images, and what can't be handed on.

The format: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.messages import branch_of_content, branch_of_part
from tailrace.requests import Image, Text


class LenientModel(BaseModel):
    """A part of a body of which only what is known is read."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def refuse(hint: str) -> BeforeValidator:
    """Takes nothing but null: what the field asks for can't be done, and `hint` says what can."""

    def check(value: object) -> None:
        if value is not None:
            raise PydanticCustomError("unsupported", "is not supported; {hint}", {"hint": hint})

    return BeforeValidator(check)


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


def _refuse_part(part: object) -> object:
    match part:
        case {"type": "input_audio" | "file" as kind}:
            what = "send the text of it, or images"
            raise PydanticCustomError("unsupported", "{kind} is not supported; {what}", {"kind": kind, "what": what})
        case _:
            return part


PartBody: TypeAlias = Annotated[
    Annotated[TextPart, Tag("<text>")]
    | Annotated[ImagePart, Tag("<image_url>")]
    | Annotated[RefusalPart, Tag("<refusal>")],
    Discriminator(
        branch_of_part,
        custom_error_type="invalid_value",
        custom_error_message="Input should be an object whose type is text or image_url",
    ),
    BeforeValidator(_refuse_part),
]
ContentBody: TypeAlias = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[PartBody], Field(min_length=1), Tag("<parts>")],
    Discriminator(
        branch_of_content,
        custom_error_type="content_type",
        custom_error_message="Input should be a string or an array of parts",
    ),
]


def read_content(content: str | list[PartBody] | None) -> tuple[Text | Image, ...]:
    """A message's content in tailrace's own words."""
    match content:
        case None:
            return ()
        case str():
            return (Text(text=content),)
        case _:
            return tuple(_part(part) for part in content)


def _part(part: TextPart | ImagePart | RefusalPart) -> Text | Image:
    match part:
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
