"""Writes the body of an Anthropic Messages request.

The format: https://platform.claude.com/docs/en/api/messages/create.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tailrace.errors import RequestError
from tailrace.providers.bodies import (
    encode_body,
    inline,
    parse_arguments,
    pick,
    refuse_fields,
    unsupported,
    unsupported_part,
)
from tailrace.providers.signatures import open_openai
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Native,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

_VENDOR: Final = "Anthropic's API"
_UNKNOWN: Final = ("seed", "presence_penalty", "frequency_penalty")
# https://platform.claude.com/docs/en/build-with-claude/effort (2026-11).
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_FORMAT: Final = "anthropic"
_BETAS: Final = "anthropic-beta"
_TOOL_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}

_Block = dict[str, Any]


def write_request(request: ChatRequest, *, default_max_tokens: int) -> bytes:
    """The body. `extra` is handed on, since the API itself refuses fields that it does not know."""
    refuse_fields(_VENDOR, request, _UNKNOWN)
    body: dict[str, Any] = {
        **request.extra,
        "model": request.model,
        "max_tokens": default_max_tokens if request.max_tokens is None else request.max_tokens,
        "messages": _messages(request),
        **pick(request, "temperature", "top_p", "top_k"),
        **_tools(request),
        "stream": True,
    }
    if system := _system(request):
        body["system"] = system
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if metadata := _metadata(request):
        body["metadata"] = metadata
    if _is_own(request):
        body |= _said(request.native)
        body.pop(_BETAS, None)
    elif config := _output_config(request):
        body["output_config"] = config
    return encode_body(body)


def read_betas(request: ChatRequest) -> str:
    """The beta features that a client of this format asked for, as their header has them."""
    return str(_said(request.native).get(_BETAS, ""))


def _is_own(request: ChatRequest) -> bool:
    """Whether the client spoke this format itself."""
    return request.native is not None and request.native.format == _FORMAT


def _said(native: Native | None) -> dict[str, Any]:
    return {} if native is None else native.said(_FORMAT)


def _system(request: ChatRequest) -> str | list[_Block]:
    """The system messages, as one text, or in blocks where the client marked some."""
    messages = [message for _, message in _prompts(request)]
    texts = [part for message in messages for part in message.parts if isinstance(part, Text) and part.text]
    if any(_said(part.native) for part in texts):
        return [_text(part) for part in texts]
    return "\n\n".join(message.text for message in messages if message.text)


def _prompts(request: ChatRequest) -> Iterator[tuple[int, Message]]:
    """The system messages for the one place before all others, wherever they stand.

    But a client of this very format may have one stay in its place.
    """
    for number, message in enumerate(request.messages):
        if message.role == "system":
            for part in message.parts:
                if not isinstance(part, Text):
                    raise unsupported_part(_VENDOR, "system", part, f"messages.{number}")
            yield number, message
        elif _is_own(request):
            return


def _messages(request: ChatRequest) -> list[dict[str, Any]]:
    """The turns in alternating roles: tool results are the user's, and neighbours of one role become one turn."""
    turns: list[dict[str, Any]] = []
    prompts = {number for number, _ in _prompts(request)}
    for number, message in enumerate(request.messages):
        field = f"messages.{number}"
        if message.name and message.role != "tool":
            raise unsupported(f"{field}.name", f"{_VENDOR} knows no names of speakers: put the name into the text")
        if number in prompts:
            continue
        role = "user" if message.role == "tool" else message.role
        blocks = [block for part in message.parts if (block := _block(part, message, field)) is not None]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _block(part: Part, message: Message, field: str) -> _Block | None:
    match part, message.role:
        case Text(), "user" | "assistant" | "system":
            # The API refuses an empty text block.
            return _text(part) if part.text else None
        case Image(), "user":
            return _image(part, field)
        case ToolCall(), "assistant":
            call = {"type": "tool_use", "id": part.id, "name": part.name, "input": parse_arguments(part, field)}
            return {**call, **_said(part.native)}
        case ToolResult(), "user" | "tool":
            return _result(part, field)
        case Reasoning(redacted=str(redacted)), "assistant":
            return {"type": "redacted_thinking", "data": redacted}
        case Reasoning(), "assistant":
            # Without its signature, or with another vendor's, the API refuses a thinking block.
            signed = part.signature and open_openai(part.signature) is None
            return _thinking(part.text, part.signature or "") if signed else None
        case Native(format="anthropic"), "user" | "assistant":
            return _said(part)
    raise unsupported_part(_VENDOR, message.role, part, field)


def _text(part: Text) -> _Block:
    return {"type": "text", "text": part.text, **_said(part.native)}


def _thinking(text: str, signature: str) -> _Block:
    return {"type": "thinking", "thinking": text, "signature": signature}


def _result(result: ToolResult, field: str) -> _Block:
    content = [_content(part, field) for part in result.content if not isinstance(part, Text) or part.text]
    block: _Block = {"type": "tool_result", "tool_use_id": result.id, **_said(result.native)}
    if content:
        block["content"] = content
    if result.is_error:
        block["is_error"] = True
    return block


def _content(part: Text | Image | Native, field: str) -> _Block:
    match part:
        case Text():
            return _text(part)
        case Image():
            return _image(part, field)
        case Native(format="anthropic"):
            return _said(part)
    raise unsupported_part(_VENDOR, "tool", part, field)


def _image(image: Image, field: str) -> _Block:
    said = _said(image.native)
    image = inline(image)
    if image.detail not in {None, "auto"}:
        raise unsupported(field, f"{_VENDOR} has no detail for images: leave it out, or scale the image")
    if image.data is not None:
        if not image.media_type:
            raise RequestError(
                400, "invalid", "an image in base64 needs its media_type, such as image/png", field=field
            )
        source = {"type": "base64", "media_type": image.media_type, "data": image.data}
        return {"type": "image", "source": source, **said}
    if not image.url:
        raise RequestError(400, "invalid", "an image needs data or a url", field=field)
    return {"type": "image", "source": {"type": "url", "url": image.url}, **said}


def _tools(request: ChatRequest) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if request.tools:
        written["tools"] = [_tool(tool) for tool in request.tools]
    choice: dict[str, Any] | None = None
    if isinstance(request.tool_choice, tuple):
        choice = {"type": "tool", "name": request.tool_choice[1]}
    elif request.tool_choice is not None:
        choice = {"type": _TOOL_CHOICES[request.tool_choice]}
    if request.parallel_tool_calls is False and request.tools and request.tool_choice != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice is not None:
        written["tool_choice"] = choice
    return written


def _tool(tool: Tool) -> dict[str, Any]:
    said = _said(tool.native)
    if "type" in said:
        return said
    written: dict[str, Any] = {"name": tool.name, "input_schema": tool.parameters or {"type": "object"}}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.strict is not None:
        written["strict"] = tool.strict
    return {**written, **said}


def _metadata(request: ChatRequest) -> dict[str, Any]:
    metadata = dict(request.metadata or {})
    if unknown := sorted(metadata.keys() - {"user_id"}):
        raise unsupported(f"metadata.{unknown[0]}", f"{_VENDOR} keeps no metadata but user_id")
    if request.user is not None:
        metadata["user_id"] = request.user
    return metadata


def _output_config(request: ChatRequest) -> dict[str, Any]:
    config = dict(request.extra.get("output_config") or {})
    # It thinks only where it is asked to, so that no effort is nothing to say.
    if request.reasoning_effort not in {None, "none"}:
        if request.reasoning_effort not in _EFFORTS:
            efforts = ", ".join(sorted(_EFFORTS))
            raise unsupported("reasoning_effort", f"{_VENDOR} knows the efforts {efforts}")
        config["effort"] = request.reasoning_effort
    if request.response_format is not None:
        config["format"] = _format(request.response_format)
    return config


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.schema is None:
        raise unsupported("response_format", f"{_VENDOR} writes JSON only by a schema: give one")
    return {"type": "json_schema", "schema": wanted.schema}
