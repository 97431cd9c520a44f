"""The `meta` format: data-only frames whose JSON says what they are, with the answer's times at the end."""

from __future__ import annotations

from typing import Any

from tailrace.dialects.base import json_bytes
from tailrace.dialects.own import OwnDialect, OwnEncoder, tool_call_json
from tailrace.events import (
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)


class MetaEncoder(OwnEncoder):
    """`start`, `token`, `reasoning`, `tool_call`, then `done` or `error`."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id)
        self._stream_id = stream_id
        self._tokens: int | None = None

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is TextDelta:
            return b'%b%d\ndata: {"event":"token","token":%b}\n\n' % (self._id, seq, json_bytes(event.text))
        data = self._rare(event)
        return b"" if data is None else self._frame(seq, json_bytes(data))

    def _rare(self, event: Event) -> dict[str, Any] | None:
        match event:
            case Started(model=model):
                return {"event": "start", "model": model, "stream_id": self._stream_id}
            case RefusalDelta(text=text):
                return {"event": "token", "token": text}
            case ReasoningDelta(text=text):
                return {"event": "reasoning", "reasoning": text}
            case ToolCallStarted() | ToolCallDelta():
                return {"event": "tool_call", "tool_call": tool_call_json(event)}
            case UsageReported():
                self._tokens = event.output_tokens
                return None
            case Finished():
                return self._done(event)
            case Failed():
                return {"event": "error", "message": event.message, "code": event.code}
            case _:
                return None

    def _done(self, event: Finished) -> dict[str, Any]:
        return {
            "event": "done",
            "tokens": self._tokens,
            "latency_ms": event.duration_ms,
            "ttft_ms": event.ttft_ms,
            "finish_reason": event.reason,
        }


META = OwnDialect("meta", MetaEncoder)
