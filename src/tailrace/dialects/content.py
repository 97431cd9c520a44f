"""What the content of a message is in most formats: text or a list of parts, and images by their addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol, TypeAlias

from pydantic import AfterValidator, Field

from tailrace.requests import Image, Native, Text

Content: TypeAlias = Text | Image | Native


class PartBody(Protocol):
    """A part of a body."""

    def to_part(self) -> Content:
        """The same in tailrace's own words."""


def read_content(content: str | Sequence[PartBody] | None) -> tuple[Content, ...]:
    """Content in tailrace's own words."""
    match content:
        case None:
            return ()
        case str():
            return (Text(text=content),)
        case _:
            return tuple(part.to_part() for part in content)


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


def _check_address(url: str) -> str:
    head, comma, _ = url.partition(",")
    if head[:5].lower() == "data:" and not (comma and head[-7:].lower() == ";base64" and "/" in head):
        raise ValueError("a data: URL needs a media type and base64: data:image/png;base64,…")
    return url


ImageAddress: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_check_address)]
"""A `data:` URL in base64, or an address that the upstream fetches; tailrace never does."""


def read_image(url: str, detail: str | None = None) -> Image:
    """The image at such an address."""
    head, _, data = url.partition(",")
    if head[:5].lower() != "data:":
        return Image(url=url, detail=detail)
    return Image(data=data, media_type=head[5:-7], detail=detail)
