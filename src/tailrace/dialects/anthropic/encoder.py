"""Anthropic's Messages, streamed.

The format: https://platform.claude.com/docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from typing import Any, Final

from tailrace.dialects.anthropic.answer import ending_json, message_json, usage_json
from tailrace.dialects.anthropic.blocks import Blocks, Delta, Move, Start, Stop
from tailrace.dialects.anthropic.errors import write_failure
from tailrace.dialects.base import Encoder, json_bytes
from tailrace.events import Event, Failed, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta, UsageReported

_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_DELTA: Final = b'%b%d\nevent: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{%b%b}}\n\n'
_TEXT: Final = b'"type":"text_delta","text":'
_THINKING: Final = b'"type":"thinking_delta","thinking":'
_ARGUMENTS: Final = b'"type":"input_json_delta","partial_json":'


class AnthropicEncoder(Encoder):
    """A frame for each step of a message; a step may take several, as when a block opens."""

    heartbeat = _PING

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id)
        self._stream_id = stream_id
        self._begun = False
        self._usage: UsageReported | None = None
        self._blocks = Blocks()

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is TextDelta and (index := self._blocks.text_index) >= 0 and not event.choice:
            return _DELTA % (self._id, seq, index, _TEXT, json_bytes(event.text))
        if type(event) is ToolCallDelta and (index := self._blocks.extend(event)) >= 0:
            return _DELTA % (self._id, seq, index, _ARGUMENTS, json_bytes(event.arguments))
        if type(event) is ReasoningDelta and (index := self._blocks.extend(event)) >= 0:
            return _DELTA % (self._id, seq, index, _THINKING, json_bytes(event.text))
        return self._encode_moves(seq, event, count)

    def _encode_moves(self, seq: int, event: Event, count: int) -> bytes:
        frames = self._frames(event)
        if not frames:
            return b""
        # Of texts that were joined, the first is the one that opened the block.
        first = seq - count + 1
        places = [*(b"%d.%d" % (first, number) for number in range(1, len(frames))), b"%d" % seq]
        return b"".join(b"%b%b\n%b" % (self._id, place, frame) for place, frame in zip(places, frames, strict=True))

    def _frames(self, event: Event) -> list[bytes]:
        match event:
            case Started():
                return self._begin(event)
            case UsageReported():
                self._usage = event
                return []
            case Finished():
                return [*self._begin(), *map(_write_move, self._blocks.end()), *self._finish(event)]
            case Failed():
                return [*map(_write_move, self._blocks.end()), _frame(b"error", write_failure(event))]
            case _:
                moves = self._blocks.take(event)
                return [*self._begin(), *map(_write_move, moves)] if moves else []

    def _begin(self, started: Started | None = None) -> list[bytes]:
        """The message's start, once; what went in is often known only at the end, and told again there."""
        if self._begun:
            return []
        self._begun = True
        model, asked = (started.model, started.input_tokens) if started else ("", None)
        message = message_json(self._stream_id, model, usage_json(UsageReported(input_tokens=asked)))
        return [_write("message_start", {"message": message})]

    def _finish(self, event: Finished) -> list[bytes]:
        ending = ending_json(event, refused=self._blocks.refused)
        delta = _write("message_delta", {"delta": ending, "usage": usage_json(self._usage)})
        return [delta, _write("message_stop", {})]


def _write_move(move: Move) -> bytes:
    match move:
        case Start(index=index, block=block):
            return _write("content_block_start", {"index": index, "content_block": block})
        case Delta(index=index, delta=delta):
            return _write("content_block_delta", {"index": index, "delta": delta})
        case Stop(index=index):
            return _write("content_block_stop", {"index": index})


def _write(name: str, fields: dict[str, Any]) -> bytes:
    return _frame(name.encode(), json_bytes({"type": name, **fields}))


def _frame(name: bytes, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, data)
