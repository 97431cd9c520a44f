"""The `delta` format: JSON deltas that count themselves, closed by OpenAI's `[DONE]`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.dialects.base import in_one_line, json_bytes
from tailrace.dialects.own import OwnDialect, OwnEncoder, tool_call_json, usage_json
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

_encode_text: Final = msgspec.json.Encoder().encode


class DeltaEncoder(OwnEncoder):
    """`chunk_index` counts text deltas from 1; joined ones carry the last one's index and the sum of their tokens."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id)
        self._model = ""
        self._text_frame = self._write_text_frame(1)
        self._chunks = 0
        self._usage = UsageReported()

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is not TextDelta:
            return self._encode_rare(seq, event)
        self._chunks += count
        frame = self._text_frame if count == 1 else self._write_text_frame(count)
        text = event.text
        return frame % (seq, _encode_text(text) if text.isascii() else json_bytes(text), self._chunks)

    def encode_all(self, first: int, events: Sequence[Event]) -> bytes:
        if events and type(events[0]) is Started:
            return self.encode(first, events[0]) + self.encode_all(first + 1, events[1:])
        texts = [event.text for event in events if type(event) is TextDelta]
        if len(texts) < len(events):
            return super().encode_all(first, events)
        frame, ahead = self._text_frame, self._chunks + 1 - first
        try:
            frames = b"".join([frame % (seq, _encode_text(text), seq + ahead) for seq, text in enumerate(texts, first)])
        except UnicodeEncodeError:
            return super().encode_all(first, events)
        self._chunks += len(texts)
        return in_one_line(frames)

    def _write_text_frame(self, tokens: int) -> bytes:
        """A text's frame with places for what differs: the entry's number, the text, the chunk's index."""
        return self._id + _text_template(self._model, tokens)

    def _encode_rare(self, seq: int, event: Event) -> bytes:
        match event:
            case Started(model=model):
                self._model = model
                self._text_frame = self._write_text_frame(1)
                return b""
            case UsageReported():
                self._usage = event
                return b""
            case Finished():
                return self._frame(f"{seq}.1", json_bytes(self._finish(event)), b"message") + self._frame(
                    seq, b"[DONE]", b"message"
                )
            case RefusalDelta(text=text):
                return self.encode(seq, TextDelta(text=text))
            case ReasoningDelta(text=text):
                return self._frame(seq, json_bytes({"delta": "", "reasoning": text, "done": False}), b"reasoning")
            case ToolCallStarted() | ToolCallDelta():
                piece = {"delta": "", "tool_call": tool_call_json(event), "done": False}
                return self._frame(seq, json_bytes(piece), b"tool_call")
            case Failed():
                return self._frame(seq, json_bytes(self._failure(event)), b"error")
            case _:
                return b""

    def _finish(self, event: Finished) -> dict[str, Any]:
        return {
            "delta": "",
            "tokens": 0,
            "total_tokens": self._usage.output_tokens,
            "total_chunks": self._chunks,
            "model": self._model,
            "finish_reason": event.reason,
            "usage": usage_json(self._usage),
            "done": True,
        }

    def _failure(self, event: Failed) -> dict[str, Any]:
        return {"message": event.message, "code": event.code, "partial": self._chunks > 0, "done": True}


@functools.lru_cache(maxsize=256)
def _text_template(model: str, tokens: int) -> bytes:
    name = json_bytes(model).replace(b"%", b"%%")
    data = b'{"delta":%%b,"tokens":%d,"model":%b,"chunk_index":%%d,"done":false}' % (tokens, name)
    return b"%%d\nevent: message\ndata: %b\n\n" % data


DELTA = OwnDialect("delta", DeltaEncoder)
