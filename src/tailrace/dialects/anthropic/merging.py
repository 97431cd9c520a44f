"""A whole message from the frames that an upstream streamed, with all that they hold.

The format: https://platform.claude.com/docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from tailrace.dialects.anthropic.answer import Block, fold_message
from tailrace.dialects.base import json_bytes
from tailrace.events import WHOLE_FRAME, Event, Opaque


def merge_message(stream_id: str, events: Sequence[Event]) -> bytes:
    """The message, from the events of a log that ended in `Finished`; our own where the upstream sent no frames."""
    frames = [event.frame for event in events if event.frame]
    if not frames:
        return json_bytes(fold_message(stream_id, events))
    if any(isinstance(event, Opaque) and event.kind == WHOLE_FRAME for event in events):
        return frames[-1]
    message = _Message()
    for frame in frames:
        message.add(_parse(frame))
    return json_bytes(message.to_json())


class _Message:
    """What the frames have come to so far."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._blocks: dict[int, Block] = {}

    def add(self, payload: dict[str, Any]) -> None:
        match payload:
            case {"type": "message_start", "message": dict() as message}:
                self._fields |= message
            case {"type": "content_block_start", "index": int(index), "content_block": dict() as block}:
                self._blocks[index] = Block(block)
            case {"type": "content_block_delta", "index": int(index), "delta": dict() as delta} if (
                index in self._blocks
            ):
                self._blocks[index].add(delta)
            case {"type": "message_delta", "delta": dict() as ending, **more}:
                self._end(ending, more)
            case _:
                pass

    def _end(self, ending: dict[str, Any], more: dict[str, Any]) -> None:
        """The message's last fields; figures that were not said again still hold."""
        earlier, usage = self._fields.get("usage") or {}, more.get("usage") or {}
        self._fields |= ending
        self._fields |= {name: value for name, value in more.items() if name != "type"}
        self._fields["usage"] = {**earlier, **{name: count for name, count in usage.items() if count is not None}}

    def to_json(self) -> dict[str, Any]:
        return {**self._fields, "content": [block.to_json() for _, block in sorted(self._blocks.items())]}


def _parse(frame: bytes) -> dict[str, Any]:
    data = frame.partition(b"data: ")[2].replace(b"\ndata: ", b"\n")
    try:
        parsed = msgspec.json.decode(data)
    except msgspec.DecodeError:
        parsed = json.loads(data)
    return parsed if isinstance(parsed, dict) else {}
