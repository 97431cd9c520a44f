"""Ollama's images: bare base64, whose type only the bytes tell."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from tailrace.requests import Image

# The first bytes of the kinds that models are given; WebP's name stands behind its length.
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
_WEBP: Final = slice(8, 12)
_HEAD: Final = 16


def _check_base64(data: str) -> str:
    try:
        if base64.b64decode(data, validate=True):
            return data
    except (binascii.Error, ValueError):
        pass
    told = "must be an image's bytes in base64; a URL is never fetched, and a data: URL loses all up to its comma"
    raise PydanticCustomError("invalid_value", told)


ImageField: TypeAlias = Annotated[str, AfterValidator(_check_base64)]


def read_image(data: str) -> Image:
    """The image, with its media type where the bytes are of a known kind."""
    return Image(data=data, media_type=_media_type(base64.b64decode(data[: _HEAD * 2])))


def _media_type(head: bytes) -> str | None:
    if head.startswith(b"RIFF") and head[_WEBP] == b"WEBP":
        return "image/webp"
    return next((media_type for signature, media_type in _SIGNATURES if head.startswith(signature)), None)
