"""Writes a conversation as the input items of OpenAI's Responses API.

The format: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, takewhile
from typing import Any, Final, TypeAlias

from tailrace.providers.bodies import unsupported, unsupported_part, write_result
from tailrace.providers.openai.body import image_url
from tailrace.providers.signatures import open_openai
from tailrace.requests import ChatRequest, Image, Message, Native, Part, Reasoning, Text, ToolCall, ToolResult

Item: TypeAlias = dict[str, Any]

KIND: Final = "openai_responses"
VENDOR: Final = "the Responses API"


def write_conversation(request: ChatRequest) -> tuple[str, list[Item]]:
    """The instructions, which are the system messages that open the conversation, and the items of all others."""
    leading = len(list(takewhile(lambda message: message.role == "system", request.messages)))
    if leading == len(request.messages):
        leading = 0  # instructions alone are no input
    items: list[Item] = []
    for number, message in enumerate(request.messages):
        written = list(_items_of(message, f"messages.{number}"))
        items += written if number >= leading else ()
    instructions = "\n\n".join(message.text for message in request.messages[:leading] if message.text)
    return instructions, list(_leave_out_loose_thoughts(items))


def write_message(message: Message, field: str) -> list[Item]:
    """The items of one message, but for reasoning in it that nothing came of."""
    return list(_leave_out_loose_thoughts(_items_of(message, field)))


def _items_of(message: Message, field: str) -> Iterator[Item]:
    if message.name and message.role != "tool":
        raise unsupported(f"{field}.name", f"{VENDOR} knows no names of speakers: put the name into the text")
    return _assistant(message, field) if message.role == "assistant" else _turn(message, field)


def said(native: Native | None) -> Item:
    """What a client of this very format said beside tailrace's own words."""
    return {} if native is None else native.said(KIND)


def _said(native: Native) -> list[Item]:
    return [own] if (own := said(native)) else []


def _assistant(message: Message, field: str) -> Iterator[Item]:
    """The assistant's turn, in the order in which it was made; one that says nothing is left out."""
    for part in _join_texts(message.parts):
        match part:
            case Reasoning():
                yield from _reasoning(part)
            case Text(text=text):
                yield {"role": "assistant", "content": text, **said(part.native)}
            case ToolCall():
                yield _call(part)
            case Native():
                yield from _said(part)
            case _:
                raise unsupported_part(VENDOR, message.role, part, field)


def _leave_out_loose_thoughts(items: Iterable[Item]) -> Iterator[Item]:
    """The items but for reasoning that nothing came of, as in an answer that was broken off: it would be refused."""
    thoughts: list[Item] = []
    for item in items:
        if item.get("type") == "reasoning":
            thoughts.append(item)
            continue
        if item.get("role") not in {"user", "system"} and item.get("type") != "function_call_output":
            yield from thoughts
        thoughts.clear()
        yield item


def _call(call: ToolCall) -> Item:
    arguments = call.arguments or "{}"
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments, **said(call.native)}


def _join_texts(parts: tuple[Part, ...]) -> Iterator[Part]:
    """The parts, neighbouring texts joined, empty ones left out."""
    for is_plain, run in groupby(parts, lambda part: isinstance(part, Text) and part.native is None):
        if not is_plain:
            yield from run
        elif text := "".join(part.text for part in run if isinstance(part, Text)):
            yield Text(text=text)


def _reasoning(reasoning: Reasoning) -> Iterator[Item]:
    """Only what the API has signed itself may go back."""
    opened = open_openai(reasoning.signature)
    if opened is not None:
        item, encrypted = opened
        summary = [{"type": "summary_text", "text": reasoning.text}] if reasoning.text else []
        named = {"id": item} if item else {}
        yield {"type": "reasoning", **named, "summary": summary, "encrypted_content": encrypted}


def _turn(message: Message, field: str) -> Iterator[Item]:
    """A turn that is not the assistant's; tool results become items of their own, before the rest."""
    content: list[Item] = []
    results = 0
    for part in message.parts:
        match part:
            case ToolResult() if message.role != "system":
                results += 1
                output = {"type": "function_call_output", "call_id": part.id, "output": _output(part, field)}
                yield output | said(part.native)
            case Text() if message.role != "tool":
                content.append(_text(part))
            case Image() if message.role == "user":
                content.append(_image(part, field))
            case Native():
                content += _said(part)
            case _:
                raise unsupported_part(VENDOR, message.role, part, field)
    if content or not results:
        plain = len(content) == 1 and content[0].keys() == {"type", "text"}
        yield {"role": message.role, "content": content[0]["text"] if plain else content or ""}


def _output(result: ToolResult, field: str) -> str | list[Item]:
    if all(isinstance(part, Text) for part in result.content):
        return write_result(VENDOR, result, field)
    mark = [Text(text="Error: ")] if result.is_error else []
    written: list[Item] = []
    for part in (*mark, *result.content):
        match part:
            case Text():
                written.append(_text(part))
            case Image():
                written.append(_image(part, field))
            case Native():
                written += _said(part)
    return written


def _text(text: Text) -> Item:
    return {"type": "input_text", "text": text.text, **said(text.native)}


def _image(image: Image, field: str) -> Item:
    url, detail = image_url(image, field), image.detail or "auto"
    return {"type": "input_image", "image_url": url, "detail": detail, **said(image.native)}
