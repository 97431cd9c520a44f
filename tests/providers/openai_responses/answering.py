"""Responses as servers send them, event by event, and what the reader makes of them."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.providers.reading import NOW, Reading, read_whole

from tailrace.events import Event, Started, ToolCallDelta, ToolCallStarted
from tailrace.providers.base import Finish
from tailrace.providers.framing import BodyFraming
from tailrace.providers.openai_responses.events import OpenAIResponsesReader

HERE = Started(model="m", created_at=NOW)
STOP = Finish(reason="stop", native="completed")
CALLED = Finish(reason="tool_calls", native="completed")
CUT = ("upstream_cut", "the stream ended before the answer did", 502)


def reader() -> OpenAIResponsesReader:
    return OpenAIResponsesReader(model="m", now=NOW, nonce="n")


def body_reader() -> OpenAIResponsesReader:
    return OpenAIResponsesReader(model="m", now=NOW, nonce="n", framing=BodyFraming())


def data(*payloads: Any) -> bytes:
    """An event stream of these payloads: bytes as they are, anything else as JSON."""
    texts = [payload if isinstance(payload, bytes) else msgspec.json.encode(payload) for payload in payloads]
    return b"".join(b"data: %b\n\n" % text for text in texts)


def event(kind: str, /, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def text(delta: str, index: int | None = 0, **fields: Any) -> dict[str, Any]:
    return event("output_text.delta", output_index=index, delta=delta, **fields)


def added(index: int, kind: str, **item: Any) -> dict[str, Any]:
    return event("output_item.added", output_index=index, item={"type": kind, **item})


def item_done(index: int, kind: str, **item: Any) -> dict[str, Any]:
    return event("output_item.done", output_index=index, item={"type": kind, **item})


def arguments(piece: str, index: int = 0) -> dict[str, Any]:
    return event("function_call_arguments.delta", output_index=index, delta=piece)


def message(*texts: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": said} for said in texts]}


def message_done(index: int, *texts: str) -> dict[str, Any]:
    return event("output_item.done", output_index=index, item=message(*texts))


def ended(status: str = "completed", **response: Any) -> dict[str, Any]:
    return event(status, response={"status": status, **response})


def reading(*payloads: Any) -> Reading:
    return read_whole(reader, data(*payloads))


def calls_in(events: list[Event]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call, which are counted from 0."""
    calls = [event for event in events if isinstance(event, ToolCallStarted)]
    assert [call.call for call in calls] == list(range(len(calls)))
    pieces = [event for event in events if isinstance(event, ToolCallDelta)]
    return [
        (call.id, call.name, "".join(piece.arguments for piece in pieces if piece.call == call.call)) for call in calls
    ]
