"""What clients say in a vendor's own format: handed to the upstreams that speak it, refused for all others."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, Native, Part, Reasoning, Text, ToolResult


def refuse_foreign(request: ChatRequest, kind: str) -> None:
    """Raise RequestError 400 where the request needs what only providers of another kind than `kind` understand."""
    for native in _natives(request):
        if native.needs and native.format != kind:
            what = _name(native)
            raise RequestError(
                400,
                "unsupported",
                f"{what} is understood by upstreams of the kind {native.format} alone, and this one is {kind}: "
                "leave it out, or choose another model",
                field=what,
            )


def _natives(request: ChatRequest) -> Iterator[Native]:
    if request.native is not None:
        yield request.native
    yield from (tool.native for tool in request.tools if tool.native is not None)
    for message in request.messages:
        for part in message.parts:
            if type(part) is not Text or part.native is not None:
                yield from _natives_of(part)


def _natives_of(part: Part) -> Iterator[Native]:
    if isinstance(part, Native):
        yield part
    elif not isinstance(part, Reasoning) and part.native is not None:
        yield part.native
    if isinstance(part, ToolResult):
        for inner in part.content:
            yield from _natives_of(inner)


def _name(native: Native) -> str:
    """A block or a tool by its type, a field by its name."""
    kind = native.needs.get("type")
    return kind if isinstance(kind, str) else sorted(native.needs)[0]
