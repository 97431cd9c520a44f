"""What the writers of request bodies share: refusing what a format can't say, and JSON that stays as it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, Image, Text, Tool, ToolCall, ToolResult


def unsupported(field: str, message: str) -> RequestError:
    """The refusal of something that the upstream can't do."""
    return RequestError(400, "unsupported", message, field=field)


def refuse_fields(vendor: str, request: ChatRequest, fields: Iterable[str]) -> None:
    """Raise RequestError if the request sets one of the fields, which this vendor has no word for."""
    for field in fields:
        if getattr(request, field) is not None:
            raise unsupported(field, f"{vendor} has no {field}: leave it out, or choose another model")


def unsupported_part(vendor: str, role: str, part: object, field: str) -> RequestError:
    """The refusal of a part that no message of this role may have."""
    kind = type(part).__name__.lower()
    return unsupported(field, f"{vendor} takes no {kind} in a message of the {role}")


def encode_body(body: dict[str, Any]) -> bytes:
    """Write the body. Raises RequestError for text that no JSON can carry."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        raise RequestError(400, "invalid", "the request holds half a surrogate pair, which is no text") from None


def pick(request: ChatRequest, *fields: str) -> dict[str, Any]:
    """The fields that the request sets, under their own names."""
    return {field: value for field in fields if (value := getattr(request, field)) is not None}


def parse_arguments(call: ToolCall, field: str) -> msgspec.Raw:
    """A call's arguments as a JSON object, unchanged; a call without any has an empty one."""
    text = call.arguments.strip() or "{}"
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise RequestError(
            400, "invalid", f"the arguments of the call {call.id!r} must be a JSON object", field=field
        ) from None
    return msgspec.Raw(text.encode())


def write_function(tool: Tool) -> dict[str, Any]:
    """A tool in the shape that OpenAI gave it and Ollama took over."""
    function: dict[str, Any] = {"name": tool.name}
    for key in ("description", "parameters", "strict"):
        if (value := getattr(tool, key)) is not None:
            function[key] = value
    return {"type": "function", "function": function}


def write_result(vendor: str, result: ToolResult, field: str) -> str:
    """A tool's answer as text, for formats that have neither images nor a mark for errors there."""
    pieces: list[str] = ["Error: "] if result.is_error else []
    for part in result.content:
        if not isinstance(part, Text):
            raise unsupported_part(vendor, "tool", part, field)
        pieces.append(part.text)
    return "".join(pieces)


def inline(image: Image) -> Image:
    """The image with a `data:` URL taken apart into base64 data and media type; any other as it is."""
    head, comma, data = (image.url or "").partition(";base64,")
    if not comma or not head.startswith("data:"):
        return image
    return Image(data=data, media_type=head.removeprefix("data:"), detail=image.detail)
