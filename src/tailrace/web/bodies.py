"""Reads a request's body: JSON only, and never more than the cap."""

from __future__ import annotations

from starlette.requests import Request

from tailrace.errors import RequestError


async def read_json(request: Request, *, max_body: int) -> bytes:
    """The body's bytes. Raises RequestError: 415 not application/json, 413 over the cap, 400 broken off."""
    check_type(request.headers.get("content-type", ""))
    _check_length(request.headers.get("content-length", "0"), max_body)
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise RequestError(400, "body_cut", "the connection was lost before the body's end")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > max_body:
            raise _too_large(max_body)
    return bytes(body)


def check_type(content_type: str) -> None:
    """Raise RequestError 415 for any type but JSON's."""
    if content_type == "application/json":
        return
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError(
            415, "unsupported_media_type", f"the body must be application/json, not {media_type[:80] or 'untyped'}"
        )


def _check_length(length: str, max_body: int) -> None:
    if length.isascii() and length.isdigit() and int(length[:20]) > max_body:
        raise _too_large(max_body)


def _too_large(max_body: int) -> RequestError:
    return RequestError(
        413,
        "too_large",
        f"the body is larger than the {max_body} bytes allowed ([server] max_body)",
        headers={"connection": "close"},
    )
