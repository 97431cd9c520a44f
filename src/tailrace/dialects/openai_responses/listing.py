"""What a response was asked, as items again.

The format: https://platform.openai.com/docs/api-reference/responses/input-items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tailrace.dialects.openai_responses.encrypted import encrypt
from tailrace.dialects.openai_responses.names import ItemPrefix, item_id
from tailrace.requests import Image, Message, Native, Part, Reasoning, Role, Text, ToolCall, ToolResult

_TEXT_TYPES: Final[dict[Role, str]] = {"assistant": "output_text"}


def prefix_of(part: Part) -> ItemPrefix | None:
    """The kind of item that a part of an answer was shown as; None for what was shown as none."""
    match part:
        case Text():
            return "msg"
        case Reasoning():
            return "rs"
        case ToolCall():
            return "fc"
        case _:
            return None


def list_answer(stream_id: str, message: Message) -> list[dict[str, Any]]:
    """The items of an earlier answer, by the ids that they had in it."""
    counts: dict[ItemPrefix, int] = {}
    items: list[dict[str, Any]] = []
    for part in message.parts:
        if (prefix := prefix_of(part)) is not None:
            number = counts.get(prefix, 0)
            counts[prefix] = number + 1
            items.append(_item(item_id(stream_id, prefix, number), message.role, [part]))
    return items


def list_input(turn_id: str, message: Message) -> list[dict[str, Any]]:
    """The items of a turn of the client's; the first has the turn's id."""
    runs = list(_runs(message.parts))
    return [_item(turn_id if not place else f"{turn_id}_{place}", message.role, run) for place, run in enumerate(runs)]


def _runs(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """What is one item each: neighbouring text and images together, all else alone."""
    run: list[Part] = []
    for part in parts:
        if isinstance(part, Text | Image | Native):
            run.append(part)
            continue
        if run:
            yield run
        yield [part]
        run = []
    if run:
        yield run


def _item(name: str, role: Role, parts: Sequence[Part]) -> dict[str, Any]:
    match parts:
        case [ToolCall(id=call_id, name=function, arguments=arguments)]:
            call = {"call_id": call_id, "name": function, "arguments": arguments}
            return {"id": name, "type": "function_call", "status": "completed", **call}
        case [ToolResult(id=call_id, content=content)]:
            output = {"call_id": call_id, "output": _output(content)}
            return {"id": name, "type": "function_call_output", "status": "completed", **output}
        case [Reasoning(text=text) as thought]:
            summary = [{"type": "summary_text", "text": text}] if text else []
            signed = {} if (encrypted := encrypt(thought)) is None else {"encrypted_content": encrypted}
            return {"id": name, "type": "reasoning", "summary": summary, **signed}
        case _:
            said = [_content(part, role) for part in parts]
            return {"id": name, "type": "message", "status": "completed", "role": role, "content": said}


def _output(content: Sequence[Text | Image | Native]) -> str | list[dict[str, Any]]:
    match content:
        case [Text(text=text)]:
            return text
        case _:
            return [_content(part, "tool") for part in content]


def _content(part: Part, role: Role) -> dict[str, Any]:
    match part:
        case Text(text=text):
            kind = _TEXT_TYPES.get(role, "input_text")
            return {"type": kind, "text": text, **({"annotations": []} if kind == "output_text" else {})}
        case Image(url=url, data=data, media_type=media_type, detail=detail):
            address = url if data is None else f"data:{media_type};base64,{data}"
            return {"type": "input_image", "image_url": address, "detail": detail or "auto"}
        case Native(needs=needs):
            return dict(needs)
        case _:
            raise TypeError(f"{type(part).__name__} is no part of a message's content")
