"""A whole chat completion from the chunks that an upstream streamed, with all that they hold.

The formats: https://platform.openai.com/docs/api-reference/chat/streaming and /object. Fields that nobody told us of
are merged too: what a delta adds to a text is joined, lists go on, and of all else the last word holds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.dialects.base import json_bytes
from tailrace.dialects.openai_chat.answer import extend, fold_completion, usage_json
from tailrace.events import WHOLE_FRAME, Event, Opaque, UsageReported

# Words that come whole, each time they come; every other text of a delta is a piece.
_WORDS: Final = frozenset({"role", "id", "type", "name", "format", "object", "signature"})

# What pads the chunks of a stream, so that their lengths tell nothing.
_PADDING: Final = "obfuscation"


def merge_completion(stream_id: str, events: Sequence[Event]) -> bytes:
    """The completion, from the events of a log that ended in `Finished`; our own where the upstream sent no chunks."""
    frames = [event.frame for event in events if event.frame]
    if not frames:
        return json_bytes(fold_completion(stream_id, events))
    if any(isinstance(event, Opaque) and event.kind == WHOLE_FRAME for event in events):
        return frames[-1]
    completion = _Completion()
    for frame in frames:
        completion.add(_parse(frame))
    usage = next((event for event in reversed(events) if isinstance(event, UsageReported)), None)
    return json_bytes(completion.to_json(usage))


class _Completion:
    """What the chunks have come to so far."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        for choice in chunk.get("choices") or ():
            self._add_choice(choice)
        for name, value in chunk.items():
            if value is not None or name not in self._fields:
                self._fields[name] = value

    def _add_choice(self, choice: dict[str, Any]) -> None:
        index = int(choice.get("index") or 0)
        whole = self._choices.setdefault(
            index, {"index": index, "message": {}, "logprobs": None, "finish_reason": None}
        )
        _merge_delta(whole["message"], choice.get("delta") or choice.get("message") or {})
        for name, value in choice.items():
            if name not in ("index", "delta", "message"):
                whole[name] = extend(whole.get(name), value)

    def to_json(self, usage: UsageReported | None) -> dict[str, Any]:
        completion = {**self._fields, "object": "chat.completion"}
        completion["choices"] = [_tidy(choice) for _, choice in sorted(self._choices.items())]
        if completion.get("usage") is None:
            completion["usage"] = usage_json(usage)
        completion.pop(_PADDING, None)
        return completion


def _tidy(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice with what every message has, and without what only the pieces of a call need."""
    said = choice["message"]
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, **said}
    others = said.keys() - {"role", "content"}
    if not message["content"]:
        message["content"] = None if any(said[name] for name in others) else ""
    if calls := message.get("tool_calls"):
        message["tool_calls"] = [{name: call[name] for name in call if name != "index"} for call in calls]
    return {**choice, "message": message}


def _merge_delta(whole: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a delta to what the deltas before it have come to."""
    for name, value in delta.items():
        earlier = whole.get(name)
        match earlier, value:
            case _, None:
                whole.setdefault(name, None)
            case str(), str() if name not in _WORDS:
                whole[name] = earlier + value
            case str(), "":
                pass
            case dict(), dict():
                _merge_delta(earlier, value)
            case None | list(), list():
                whole[name] = _merge_items(earlier or [], value)
            case (list(), str()) | (str(), list()) if earlier:
                whole[name] = [*_as_parts(earlier), *_as_parts(value)]
            case _:
                whole[name] = value


def _merge_items(whole: list[Any], pieces: list[Any]) -> list[Any]:
    for piece in pieces:
        if (begun := _find(whole, piece)) is None:
            whole.append(piece)
        else:
            _merge_delta(begun, piece)
    return whole


def _as_parts(content: str | list[Any]) -> list[Any]:
    """Mistral's content is text, but a list of parts where there are thoughts among it."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _find(whole: list[Any], piece: Any) -> dict[str, Any] | None:
    """The item that the piece goes on with: the latest with its index, unless that has another id."""
    if not isinstance(piece, dict) or piece.get("index") is None:
        return None
    for item in reversed(whole):
        if isinstance(item, dict) and item.get("index") == piece["index"]:
            other = item.get("id") and piece.get("id") and item["id"] != piece["id"]
            return None if other else item
    return None


def _parse(frame: bytes) -> dict[str, Any]:
    try:
        parsed = msgspec.json.decode(frame)
    except msgspec.DecodeError:
        # Servers are seen to send NaN, and halves of surrogate pairs
        parsed = json.loads(frame)
    return parsed if isinstance(parsed, dict) else {}
