"""Writes the body of an OpenAI-compatible chat completion request.

The format: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from tailrace.errors import RequestError
from tailrace.providers.bodies import (
    encode_body,
    pick,
    refuse_fields,
    unsupported_part,
    write_function,
    write_result,
)
from tailrace.providers.openai.hosts import is_below, is_openai, reasons
from tailrace.providers.openai.vendors import fit
from tailrace.requests import ChatRequest, Image, Message, Native, Reasoning, ResponseFormat, Text, ToolCall, ToolResult

_SAME: Final = (
    "temperature",
    "top_p",
    "top_k",
    "parallel_tool_calls",
    "reasoning_effort",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "user",
    "metadata",
)
_VENDOR: Final = "the chat completions format"
_FORMAT: Final = "openai"
_Written: TypeAlias = dict[str, Any] | msgspec.Raw

# DeepSeek wants the reasoning of a turn with tool calls back and answers 400 without it, whereas others refuse the
# field (https://api-docs.deepseek.com/guides/thinking_mode, 2026-11).
_REASONING_BACK: Final = ("deepseek.com",)


def write_request(request: ChatRequest, *, host: str) -> bytes:
    """The body for the server at `host`, on which a few fields depend.

    `extra` is handed on for the server to judge, but overrides nothing.
    """
    if is_openai(host):
        # Many compatible servers have it: vLLM, llama.cpp, LM Studio, OpenRouter.
        refuse_fields("OpenAI's API", request, ("top_k",))
    body: dict[str, Any] = {
        **request.extra,
        "model": request.model,
        "messages": write_messages(request, host),
        **pick(request, *_SAME),
        **_choices(request),
        "stream": True,
        "stream_options": {"include_usage": True},
        **write_limit(request, host),
    }
    return encode_body(fit(body, host))


def write_limit(request: ChatRequest, host: str) -> dict[str, int]:
    """The field that limits the answer's tokens, where they are limited."""
    if request.max_tokens is None:
        return {}
    # OpenAI's reasoning models refuse `max_tokens`, while many compatible servers know nothing else
    # (https://platform.openai.com/docs/api-reference/chat/create, 2026-11).
    newer = is_openai(host) and reasons(request.model)
    return {"max_completion_tokens" if newer else "max_tokens": request.max_tokens}


def image_url(image: Image, field: str) -> str:
    """The image as the URL that OpenAI's formats want: base64 data in a `data:` URL, any other as it is."""
    url = image.url
    if image.data is not None:
        if not image.media_type:
            raise RequestError(
                400, "invalid", "an image in base64 needs its media_type, such as image/png", field=field
            )
        url = f"data:{image.media_type};base64,{image.data}"
    if not url:
        raise RequestError(400, "invalid", "an image needs data or a url", field=field)
    return url


def write_messages(request: ChatRequest, host: str) -> list[_Written]:
    """The conversation; where the client speaks this format its own turns are as it wrote them."""
    own = request.is_native(_FORMAT)
    written: list[_Written] = []
    for number, message in enumerate(request.messages):
        field = f"messages.{number}"
        if own and message.verbatim is not None:
            written.append(message.verbatim)
        elif message.role == "assistant":
            written.append(_assistant(message, host, field))
        else:
            written += _turn(message, field)
    return written


def _assistant(message: Message, host: str, field: str) -> dict[str, Any]:
    written: dict[str, Any] = {"role": "assistant", **_named(message)}
    calls: list[dict[str, Any]] = []
    thoughts = ""
    for part in message.parts:
        match part:
            case Text():
                pass
            case ToolCall():
                calls.append({"id": part.id, **_call(part)})
            # The format has no place for it, and most vendors ask that it be left out of what follows.
            case Reasoning():
                thoughts += part.text
            case Native(format="openai"):
                written |= part.needs
            case _:
                raise unsupported_part(_VENDOR, message.role, part, field)
    says_other = calls or any(isinstance(part, Native) for part in message.parts)
    written["content"] = message.text or (None if says_other else "")
    if calls:
        written["tool_calls"] = calls
    if thoughts and is_below(host, _REASONING_BACK):
        written["reasoning_content"] = thoughts
    return written


def _call(call: ToolCall) -> dict[str, Any]:
    if call.native is not None and call.native.format == _FORMAT:
        return call.native.needs
    return {"type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}


def _turn(message: Message, field: str) -> Iterator[dict[str, Any]]:
    """A turn that is not the assistant's; tool results become messages of their own, before the rest."""
    content: list[dict[str, Any]] = []
    results = 0
    for part in message.parts:
        match part:
            case ToolResult() if message.role != "system":
                results += 1
                yield {"role": "tool", "tool_call_id": part.id, "content": write_result(_VENDOR, part, field)}
            case Text() if message.role != "tool":
                content.append({"type": "text", "text": part.text})
            case Image() if message.role == "user":
                content.append(_image(part, field))
            case Native(format="openai", needs={"type": str()}):
                content.append(part.needs)
            case Native(format="openai", needs={"function": function}):
                results += 1
                yield function
            case _:
                raise unsupported_part(_VENDOR, message.role, part, field)
    if content or not results:
        only_text = len(content) == 1 and content[0].get("text")
        yield {"role": message.role, **_named(message), "content": only_text or content or ""}


def _image(image: Image, field: str) -> dict[str, Any]:
    detail = {"detail": image.detail} if image.detail else {}
    return {"type": "image_url", "image_url": {"url": image_url(image, field), **detail}}


def _choices(request: ChatRequest) -> dict[str, Any]:
    """Stop sequences, tools, which of them, and the answer's format."""
    written: dict[str, Any] = {}
    if request.stop:
        written["stop"] = list(request.stop)
    if request.tools:
        written["tools"] = [write_function(tool) for tool in request.tools]
    if isinstance(request.tool_choice, tuple):
        written["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice[1]}}
    elif request.tool_choice is not None:
        written["tool_choice"] = request.tool_choice
    if request.response_format is not None:
        written["response_format"] = _format(request.response_format)
    return written


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}


def _named(message: Message) -> dict[str, str]:
    return {"name": message.name} if message.name else {}
