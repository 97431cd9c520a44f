"""The `token` format: an SSE event type for each kind of thing, JSON in each."""

from __future__ import annotations

from tailrace.dialects.base import json_bytes
from tailrace.dialects.own import OwnDialect, OwnEncoder, tool_call_json, usage_json
from tailrace.events import (
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)


class TokenEncoder(OwnEncoder):
    """`token`, `reasoning`, `tool_call`, `usage`, then `done` or `error`."""

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is not TextDelta:
            return self._encode_rare(seq, event)
        return b'%b%d\nevent: token\ndata: {"token":%b,"done":false}\n\n' % (self._id, seq, json_bytes(event.text))

    def _encode_rare(self, seq: int, event: Event) -> bytes:
        match event:
            case RefusalDelta(text=text):
                return self.encode(seq, TextDelta(text=text))
            case ReasoningDelta(text=text):
                return self._frame(seq, json_bytes({"token": "", "reasoning": text, "done": False}), b"reasoning")
            case ToolCallStarted() | ToolCallDelta():
                piece = {"token": "", "tool_call": tool_call_json(event), "done": False}
                return self._frame(seq, json_bytes(piece), b"tool_call")
            case UsageReported():
                return self._frame(seq, json_bytes(usage_json(event)), b"usage")
            case Finished() | Failed():
                return self._encode_end(seq, event)
            case _:
                return b""

    def _encode_end(self, seq: int, event: Finished | Failed) -> bytes:
        if isinstance(event, Finished):
            return self._frame(seq, json_bytes({"token": "", "done": True, "finish_reason": event.reason}), b"done")
        failure = {"error": event.code, "message": event.message, "code": event.code, "done": True}
        return self._frame(seq, json_bytes(failure), b"error")


TOKEN = OwnDialect("token", TokenEncoder)
