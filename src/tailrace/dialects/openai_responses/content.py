"""What messages and tool results are made of: text, images, and what only an upstream of this format understands.

The format: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Tag

from tailrace.dialects.content import ImageAddress, branch_of_content, branch_of_part, read_image
from tailrace.dialects.openai_chat.parts import LenientModel, RefusalPart
from tailrace.dialects.openai_responses.natives import OtherBody
from tailrace.requests import Image, Text


class TextPart(LenientModel):
    """A piece of text: asked, or answered earlier."""

    type: Literal["input_text", "output_text"]
    text: str

    def to_part(self) -> Text:
        """The same in tailrace's own words."""
        return Text(text=self.text)


class ImagePart(LenientModel):
    """An image."""

    type: Literal["input_image"]
    image_url: ImageAddress
    detail: Literal["auto", "low", "high", "original"] | None = None

    def to_part(self) -> Image:
        """The same in tailrace's own words."""
        return read_image(self.image_url, None if self.detail == "auto" else self.detail)


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
