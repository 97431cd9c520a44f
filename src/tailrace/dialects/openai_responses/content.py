"""What messages and tool results are made of: text, images, and what only an upstream of this format understands.

The format: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, field_validator

from tailrace.dialects.messages import branch_of_content, branch_of_part
from tailrace.dialects.openai_chat.parts import LenientModel
from tailrace.dialects.openai_responses.natives import OtherBody
from tailrace.requests import Image, Native, Text

_DATA_URL: Final = re.compile(r"data:([^,]*/[^,]*);base64,(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)


class TextPart(LenientModel):
    """A piece of text: asked, or answered earlier."""

    type: Literal["input_text", "output_text"]
    text: str

    def to_part(self) -> Text | Image:
        """The same in tailrace's own words."""
        return Text(text=self.text)


class RefusalPart(LenientModel):
    """The model's own words of refusal, in an earlier answer."""

    type: Literal["refusal"]
    refusal: str

    def to_part(self) -> Text | Image:
        """The same in tailrace's own words."""
        return Text(text=self.refusal)


class ImagePart(LenientModel):
    """An image: a `data:` URL in base64, or an address that the upstream fetches; tailrace never does."""

    type: Literal["input_image"]
    image_url: str = Field(min_length=1)
    detail: Literal["auto", "low", "high", "original"] | None = None

    @field_validator("image_url")
    @classmethod
    def _check_data(cls, url: str) -> str:
        if url[:5].lower() == "data:" and _DATA_URL.fullmatch(url) is None:
            raise ValueError("a data: URL needs a media type and base64: data:image/png;base64,…")
        return url

    def to_part(self) -> Text | Image:
        """The same in tailrace's own words."""
        detail = None if self.detail == "auto" else self.detail
        found = _DATA_URL.fullmatch(self.image_url)
        if found is None:
            return Image(url=self.image_url, detail=detail)
        return Image(data=found[2], media_type=found[1], detail=detail)


def _branch(part: object) -> str | None:
    """A file, or an image by the id of one, is OpenAI's to know."""
    match part:
        case {"type": "input_text" | "output_text"}:
            return "<text>"
        case {"type": "input_image", "file_id": str()}:
            return "<other>"
        case {"type": "input_image" | "refusal"}:
            return branch_of_part(part)
        case {"type": str()}:
            return "<other>"
        case _:
            return None


PartBody: TypeAlias = Annotated[
    Annotated[TextPart, Tag("<text>")]
    | Annotated[ImagePart, Tag("<input_image>")]
    | Annotated[RefusalPart, Tag("<refusal>")]
    | Annotated[OtherBody, Tag("<other>")],
    Discriminator(
        _branch,
        custom_error_type="invalid_value",
        custom_error_message="Input should be an object whose type is input_text, input_image or output_text",
    ),
]
ContentBody: TypeAlias = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[PartBody], Tag("<parts>")],
    Discriminator(
        branch_of_content,
        custom_error_type="content_type",
        custom_error_message="Input should be a string or an array of parts",
    ),
]


def read_content(content: str | list[PartBody]) -> tuple[Text | Image | Native, ...]:
    """Content in tailrace's own words."""
    if isinstance(content, str):
        return (Text(text=content),)
    return tuple(part.to_native() if isinstance(part, OtherBody) else part.to_part() for part in content)
