"""Writes the body of an Ollama chat request.

The format: https://docs.ollama.com/api/chat.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tailrace.providers.bodies import (
    encode_body,
    inline,
    parse_arguments,
    pick,
    refuse_fields,
    unsupported,
    unsupported_part,
    write_function,
    write_result,
)
from tailrace.requests import ChatRequest, Image, Message, Reasoning, Text, ToolCall, ToolResult

_VENDOR: Final = "Ollama"
_UNKNOWN: Final = ("user", "metadata")
_OPTIONS: Final = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")
_THINK: Final[dict[str, bool | str]] = {
    "none": False, "low": "low", "medium": "medium", "high": "high", "max": "max",
}  # fmt: skip
# Ollama ignores what it does not know, so it can't be left to refuse it.
_EXTRA: Final = frozenset({"keep_alive", "options", "think", "logprobs", "top_logprobs", "truncate", "shift"})
_OPTION: Final = "options."


def write_request(request: ChatRequest) -> bytes:
    """The body. Of `extra` only Ollama's own fields are handed on; any other is refused.

    What a client of this very format said goes on as it was, and before what the common words say of the same.
    """
    refuse_fields(_VENDOR, request, _UNKNOWN)
    if unknown := sorted(request.extra.keys() - _EXTRA):
        raise unsupported(unknown[0], f"{_VENDOR} has no {unknown[0]}: leave it out, or choose another model")
    body: dict[str, Any] = {**request.extra, "model": request.model, "messages": _messages(request)}
    body |= {"stream": True, **_tools(request)}
    said = {} if request.native is None else request.native.said("ollama")
    if options := _options(request) | _own_options(said):
        body["options"] = options
    if request.response_format is not None:
        schema = request.response_format.schema
        body["format"] = "json" if schema is None else schema
    if request.reasoning_effort is not None:
        body["think"] = _think(request.reasoning_effort)
    return encode_body(body | {name: value for name, value in said.items() if not name.startswith(_OPTION)})


def _messages(request: ChatRequest) -> list[dict[str, Any]]:
    names = {part.id: part.name for message in request.messages for part in message.parts if isinstance(part, ToolCall)}
    return [
        written
        for number, message in enumerate(request.messages)
        for written in _turn(message, names, f"messages.{number}")
    ]


def _turn(message: Message, names: dict[str, str], field: str) -> Iterator[dict[str, Any]]:
    """One turn; tool results become messages of their own, before the rest."""
    if message.name and message.role != "tool":
        raise unsupported(f"{field}.name", f"{_VENDOR} knows no names of speakers: put the name into the text")
    turn: dict[str, Any] = {"role": message.role, "content": message.text}
    results = 0
    for part in message.parts:
        match part, message.role:
            case Text(), "system" | "user" | "assistant":
                pass
            case Image(), "user":
                turn.setdefault("images", []).append(_image(part, field))
            case Reasoning(text=""), "assistant":
                pass
            case Reasoning(), "assistant":
                turn["thinking"] = turn.get("thinking", "") + part.text
            case ToolCall(), "assistant":
                turn.setdefault("tool_calls", []).append(_call(part, field))
            case ToolResult(), "user" | "tool":
                results += 1
                yield _result(part, names, field)
            case _:
                raise unsupported_part(_VENDOR, message.role, part, field)
    if results < len(message.parts) or not results:
        yield turn


def _call(call: ToolCall, field: str) -> dict[str, Any]:
    return {"id": call.id, "function": {"name": call.name, "arguments": parse_arguments(call, field)}}


def _result(result: ToolResult, names: dict[str, str], field: str) -> dict[str, Any]:
    written = {"role": "tool", "content": write_result(_VENDOR, result, field), "tool_call_id": result.id}
    # Ollama told results apart by the tool's name before it had ids.
    if result.id in names:
        written["tool_name"] = names[result.id]
    return written


def _image(image: Image, field: str) -> str:
    image = inline(image)
    if image.data is None:
        raise unsupported(field, f"{_VENDOR} takes images only as base64 data, and no url is fetched for it")
    if image.detail not in {None, "auto"}:
        raise unsupported(field, f"{_VENDOR} has no detail for images: leave it out, or scale the image")
    return image.data


def _tools(request: ChatRequest) -> dict[str, Any]:
    choice = request.tool_choice
    if choice not in {None, "auto", "none"}:
        raise unsupported("tool_choice", f"{_VENDOR} can't be made to call a tool: use auto or none")
    if request.parallel_tool_calls is False and request.tools:
        raise unsupported("parallel_tool_calls", f"{_VENDOR} can't be held to one tool call at a time")
    for number, tool in enumerate(request.tools):
        if tool.strict:
            raise unsupported(f"tools.{number}.strict", f"{_VENDOR} doesn't hold a tool's arguments to their schema")
    if not request.tools or choice == "none":
        return {}
    return {"tools": [write_function(tool) for tool in request.tools]}


def _options(request: ChatRequest) -> dict[str, Any]:
    options: dict[str, Any] = {**(request.extra.get("options") or {}), **pick(request, *_OPTIONS)}
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    if request.stop:
        options["stop"] = list(request.stop)
    return options


def _own_options(said: dict[str, Any]) -> dict[str, Any]:
    """The options that a client of this format said, which stand there by their places."""
    return {name.removeprefix(_OPTION): value for name, value in said.items() if name.startswith(_OPTION)}


def _think(effort: str) -> bool | str:
    if effort not in _THINK:
        raise unsupported("reasoning_effort", f"{_VENDOR} knows the efforts {', '.join(_THINK)}")
    return _THINK[effort]
