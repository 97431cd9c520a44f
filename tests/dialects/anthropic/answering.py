"""Answers as Anthropic's clients get them, read as these read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from anthropic import BaseModel
from anthropic.lib.streaming._messages import accumulate_event
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import ANTHROPIC
from tailrace.events import Event, Finished, Started
from tailrace.sse import Decoder

START = Started(model="gpt-4o", created_at=1_700_000_000.0)
DONE = Finished(reason="stop")


def payloads(events: Sequence[Event]) -> list[Any]:
    """The data of a stream's frames."""
    return [json.loads(frame.data) for frame in Decoder().feed(encode_all(ANTHROPIC, events))]


def folded(*events: Event) -> Any:
    """The whole answer made of the events."""
    return json.loads(ANTHROPIC.whole(STREAM_ID, [START, *events]))


def accumulated(events: Sequence[Event]) -> Any:
    """What the official client makes of a stream of the events."""
    message = None
    buffers: dict[int, bytes] = {}
    for payload in payloads(events):
        message = accumulate_event(event=payload, current_snapshot=message, json_bufs=buffers)
    assert message is not None
    return json.loads(message.model_dump_json(exclude_none=True))


def strangers(value: object) -> set[str]:
    """The names of all fields in a parsed answer that the client's types do not know."""
    match value:
        case BaseModel():
            inner = (getattr(value, name) for name in type(value).model_fields)
            return set(value.model_extra or ()).union(*map(strangers, inner))
        case list():
            return set[str]().union(*map(strangers, value))
        case _:
            return set()
