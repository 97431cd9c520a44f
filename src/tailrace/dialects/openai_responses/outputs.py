"""What is kept of an answer that an upstream of this format gave: its items as it told of them, behind its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from pydantic import TypeAdapter, ValidationError

from tailrace.dialects.openai_responses.items import ItemBody, ItemReference, OtherItem
from tailrace.dialects.openai_responses.merging import merge_output
from tailrace.dialects.openai_responses.names import name_item
from tailrace.dialects.openai_responses.natives import KIND
from tailrace.dialects.openai_responses.verbatim import write_items
from tailrace.events import Event, Finished
from tailrace.requests import Message, Native, Part

_OUTPUT: Final = "output"
_REASONING: Final = "reasoning"

_validate: Final = TypeAdapter[ItemBody](ItemBody).validate_python


def read_output(events: Sequence[Event]) -> tuple[Native, ...]:
    """What is to be kept, from all the events of a log; nothing of an answer that is not whole."""
    items = merge_output(events) if isinstance(events[-1], Finished) else []
    return (Native(format=KIND, hints={_OUTPUT: [_without_logprobs(item) for item in items]}),) if items else ()


def output_of(message: Message) -> list[dict[str, Any]]:
    """What was kept."""
    for part in message.parts:
        if _is_output(part):
            return [item for item in part.hints[_OUTPUT] if isinstance(item, dict)]  # type: ignore[union-attr]
    return []


def without_output(message: Message) -> Message:
    """The message without what was kept, which is no part of what was said."""
    return msgspec.structs.replace(message, parts=tuple(part for part in message.parts if not _is_output(part)))


def send_back(output: Sequence[dict[str, Any]]) -> msgspec.Raw:
    """An answer's items as OpenAI takes them back: reasoning goes with the item that it led to, or not at all.

    An answer that met its limit may end with reasoning; and what came without its cipher can't be read by a server
    that stores nothing.
    """
    led = len(output)
    while led and output[led - 1].get("type") == _REASONING:
        led -= 1
    return write_items([item for item in output[:led] if item.get("type") != _REASONING or _can_be_read(item)])


def _can_be_read(reasoning: dict[str, Any]) -> bool:
    return bool(reasoning.get("encrypted_content") or reasoning.get("content"))


def list_output(stream_id: str, items: Sequence[Any]) -> list[dict[str, Any]]:
    """The items by the names that they had in the response."""
    return [name_item(stream_id, item) for item in items]


def read_item(item: dict[str, Any]) -> Message:
    """An item as a turn; of what only this format knows other upstreams are told nothing."""
    try:
        body = _validate(item)
    except ValidationError:
        body = OtherItem(type="")
    message = Message(role="assistant", parts=())
    if not isinstance(body, OtherItem | ItemReference):
        message = body.to_message()
    return msgspec.structs.replace(message, verbatim=write_items([item]))


def _is_output(part: Part) -> bool:
    return isinstance(part, Native) and part.format == KIND and _OUTPUT in part.hints


def _without_logprobs(item: Any) -> Any:
    """Many times as long as what was said, and nothing that a model is asked with."""
    match item:
        case {"content": list(parts)}:
            return {**item, "content": [_strip(part) for part in parts]}
        case _:
            return item


def _strip(part: Any) -> Any:
    return {name: part[name] for name in part if name != "logprobs"} if isinstance(part, dict) else part
