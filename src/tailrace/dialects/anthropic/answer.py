"""A whole message, folded from the events of a log, and what it shares with a stream.

The format: https://platform.claude.com/docs/en/api/messages/create.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.dialects.anthropic.blocks import Blocks, Delta, Move, Start, Stop
from tailrace.dialects.base import replace_surrogates
from tailrace.events import Event, Finished, FinishReason, Started, UsageReported

_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_OWN: Final = frozenset(
    {
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    }
)

_PIECEMEAL: Final = ("text", "thinking")

# How Anthropic's guide to tools has text handed on that should have been an object and is not.
_BROKEN: Final = "INVALID_JSON"


def message_json(stream_id: str, model: str, usage: dict[str, Any]) -> dict[str, Any]:
    """A message that has yet to be made."""
    return {
        "id": f"msg_{stream_id.removeprefix('gen_')}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def usage_json(usage: UsageReported | None) -> dict[str, Any]:
    """Usage as Anthropic writes it: tokens read from its cache are told apart; a count that is not known is 0."""
    usage = usage or UsageReported()
    cached, reasoning = usage.cached_input_tokens, usage.reasoning_tokens
    return {
        "input_tokens": max(0, (usage.input_tokens or 0) - (cached or 0)),
        **({} if cached is None else {"cache_read_input_tokens": cached}),
        "output_tokens": usage.output_tokens or 0,
        **({} if reasoning is None else {"output_tokens_details": {"thinking_tokens": reasoning}}),
    }


def ending_json(finished: Finished, *, refused: bool) -> dict[str, Any]:
    """How an answer ended: in Anthropic's own word where it has said one; `refused`: the model said no."""
    reason = _REASONS[finished.reason]
    if finished.native in _OWN:
        reason = finished.native
    elif refused:
        reason = "refusal"
    elif finished.reason == "stop" and finished.stop_sequence is not None:
        reason = "stop_sequence"
    return {"stop_reason": reason, "stop_sequence": finished.stop_sequence}


def fold_message(stream_id: str, events: Sequence[Event]) -> dict[str, Any]:
    """The message, from the events of a log that ended in `Finished`."""
    folding = _Folding()
    for event in events:
        folding.add(event)
    return folding.to_json(stream_id)


class _Folding:
    """The message so far."""

    def __init__(self) -> None:
        self._model = ""
        self._usage: UsageReported | None = None
        self._ending: dict[str, Any] = {}
        self._blocks = Blocks()
        self._content: list[Block] = []

    def add(self, event: Event) -> None:
        match event:
            case Started(model=model):
                self._model = model
            case UsageReported():
                self._usage = event
            case Finished():
                self._ending = ending_json(event, refused=self._blocks.refused)
            case _:
                self._move(self._blocks.take(event))

    def to_json(self, stream_id: str) -> dict[str, Any]:
        self._move(self._blocks.end())
        message = message_json(stream_id, self._model, usage_json(self._usage))
        return {**message, "content": [block.to_json() for block in self._content], **self._ending}

    def _move(self, moves: Sequence[Move]) -> None:
        for move in moves:
            match move:
                case Start(block=block):
                    self._content.append(Block(block))
                case Delta(delta=delta):
                    self._content[-1].add(delta)
                case Stop():
                    pass


class Block:
    """One block of a message, put together from its pieces."""

    def __init__(self, block: dict[str, Any]) -> None:
        self._block = block
        # Other servers are seen to open a block with its first words
        self._pieces: dict[str, list[str]] = {name: [block[name]] for name in _PIECEMEAL if block.get(name)}
        self._citations: list[Any] = []

    def add(self, delta: dict[str, Any]) -> None:
        match delta:
            case {"type": "citations_delta", "citation": citation}:
                self._citations.append(citation)
            case {"type": "text_delta", "text": str(piece)}:
                self._pieces.setdefault("text", []).append(piece)
            case {"type": "thinking_delta", "thinking": str(piece)}:
                self._pieces.setdefault("thinking", []).append(piece)
            case {"type": "signature_delta", "signature": str(signature)}:
                self._pieces["signature"] = [signature]
            case {"type": "input_json_delta", "partial_json": str(piece)}:
                self._pieces.setdefault("input", []).append(piece)
            case {"type": _, **others}:
                self._add_others(others)
            case _:
                pass

    def _add_others(self, fields: dict[str, Any]) -> None:
        """What a delta of an unknown type says: texts are pieces, lists go on, of all else the last word holds."""
        for name, value in fields.items():
            earlier = self._block.get(name)
            joins = type(value) is type(earlier) and isinstance(value, (str, list))
            self._block = {**self._block, name: earlier + value if joins else value}

    def to_json(self) -> dict[str, Any]:
        joined: dict[str, Any] = {name: "".join(pieces) for name, pieces in self._pieces.items()}
        if "input" in joined:
            joined["input"] = _read_input(joined["input"])
        cited = {"citations": self._citations} if self._citations else {}
        return {**self._block, **joined, **cited}


def _read_input(text: str) -> msgspec.Raw | dict[str, Any]:
    """A tool's arguments as the object that they are, unchanged."""
    sound = replace_surrogates(text)
    try:
        msgspec.json.decode(sound, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return {_BROKEN: sound} if sound.strip() else {}
    return msgspec.Raw(sound.encode())
