"""The shapes of the Responses API's events, with only the fields in use.

The format: https://platform.openai.com/docs/api-reference/responses-streaming. What has its own shape in each kind of
event is left open and looked at where it is used, so that an event that is not known is never in the way.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from tailrace.errors import WireError
from tailrace.providers.payloads import UNTIDY, Count, PayloadDecoder, parse_loosely

Key: TypeAlias = int | str | None
"""Which output item an event belongs to: its place, else its id, for some servers give each event a new id."""


class Item(msgspec.Struct, gc=False):
    """An output item: a message, a function call, a piece of reasoning, or anything else that has a type."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    content: Any = None
    summary: Any = None
    encrypted_content: Any = None


class InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Count | None = None


class OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None


class Usage(msgspec.Struct, gc=False):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Response(msgspec.Struct, gc=False):
    """The response as it stands; an event that ends it has all of its output once more."""

    status: Any = None
    model: Any = None
    created_at: Any = None
    output: msgspec.Raw = msgspec.Raw()
    usage: Usage | None = None
    error: Any = None
    incomplete_details: Any = None


class Payload(msgspec.Struct, gc=False):
    type: str = ""
    sequence_number: Any = None
    output_index: int | None = None
    item_id: str | None = None
    summary_index: int | None = None
    content_index: int | None = None
    delta: Any = None
    logprobs: Any = None
    arguments: Any = None
    annotation: Any = None
    item: Item | None = None
    response: msgspec.Raw = msgspec.Raw()
    object: Any = None
    error: Any = None
    message: Any = None
    code: Any = None


class Kind(msgspec.Struct, gc=False):
    """An event of which only the type is known."""

    type: str = ""


class Glance(msgspec.Struct, gc=False):
    """What nearly every event is: a piece of text. An event that fits has nothing else to say."""

    type: Literal["response.output_text.delta"]
    delta: str
    output_index: int
    sequence_number: int | None = None
    logprobs: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None


MARKS: Final = frozenset(
    {
        "keepalive",
        "ping",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.done",
        "response.refusal.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.done",
    }
)
"""What only marks the way, or says again what came in pieces."""

# The events whose fields are looked at
_UNDERSTOOD: Final = frozenset(
    {
        "error",
        "response.cancelled",
        "response.completed",
        "response.created",
        "response.failed",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.in_progress",
        "response.incomplete",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.annotation.added",
        "response.output_text.delta",
        "response.queued",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
        "response.refusal.delta",
    }
)

GLANCES: Final = PayloadDecoder(Glance)
PAYLOADS: Final = PayloadDecoder(Payload, expendable=("output_index", "item_id", "summary_index", "content_index"))
_KINDS: Final = PayloadDecoder(Kind)
RESPONSES: Final = PayloadDecoder(Response, expendable=("usage",))
_read_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
OUTPUTS: Final = PayloadDecoder(list[msgspec.Raw])


def read_event(payload: bytes) -> Payload:
    """An event; of one that nobody knows the fields may be of any shape. Raises WireError."""
    try:
        return PAYLOADS.read(payload)
    except WireError:
        kind = _KINDS.read(payload).type
        if not kind or kind in _UNDERSTOOD:
            raise
        return Payload(type=kind)


def renumber(payload: bytes, number: int) -> bytes:
    """The event with this number; its other fields as they were written."""
    try:
        return msgspec.json.encode({**_read_fields(payload), "sequence_number": number})
    except UNTIDY:
        return json.dumps({**parse_loosely(payload), "sequence_number": number}).encode()


def key_of(event: Payload) -> Key:
    """The item that an event belongs to."""
    if event.output_index is not None:
        return event.output_index
    return event.item_id or (event.item.id if event.item else None)


def text_of(delta: Any) -> str:
    """The text of a delta that must be one. Raises WireError."""
    if delta is not None and not isinstance(delta, str):
        raise WireError(f"a delta of an unknown shape: {type(delta).__name__}")
    return delta or ""
