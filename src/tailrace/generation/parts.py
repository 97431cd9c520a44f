"""Folds what a model said, event by event, into the parts of one message."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from tailrace.events import Event, Opaque, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, ToolCallStarted
from tailrace.requests import Part, Reasoning, Text, ToolCall

_ITEM_DONE: Final = '"response.output_item.done"'


def parts_of(events: Iterable[Event]) -> tuple[Part, ...]:
    """The first choice's text, reasoning and tool calls, in the order in which they began; a refusal is text.

    A signature closes its block of reasoning: it is the vendor's proof of that block and no other. Reasoning that
    Anthropic does not show is kept too: its API wants it back.
    """
    folding = _Folding()
    for event in events:
        match event:
            case TextDelta(text=piece, choice=0) | RefusalDelta(text=piece, choice=0):
                folding.add_text(piece)
            case ReasoningDelta(text=piece, signature=signature, choice=0):
                folding.add_reasoning(piece, signature)
            case Opaque(kind="redacted_thinking", json=json, choice=0):
                folding.add_redacted(json)
            case Opaque(json=json, choice=0) if _ITEM_DONE in json:
                folding.unsign()
            case ToolCallStarted(choice=0):
                folding.start_call(event)
            case ToolCallDelta(call=call, arguments=piece, choice=0):
                folding.add_arguments(call, piece)
            case _:
                pass
    return tuple(block.close() for block in folding.blocks)


class _Text(msgspec.Struct):
    pieces: list[str]

    def close(self) -> Part:
        return Text(text=_join(self.pieces))


class _Reasoning(msgspec.Struct):
    pieces: list[str]
    signature: str | None
    over: bool = False

    def close(self) -> Part:
        return Reasoning(text=_join(self.pieces), signature=self.signature)


class _Redacted(msgspec.Struct):
    data: str

    def close(self) -> Part:
        return Reasoning(text="", redacted=self.data)


class _Call(msgspec.Struct):
    started: ToolCallStarted
    pieces: list[str]

    def close(self) -> Part:
        return ToolCall(id=self.started.id, name=self.started.name, arguments=_join(self.pieces))


_Block: TypeAlias = _Text | _Reasoning | _Redacted | _Call


class _Folding:
    """The blocks so far; the last one takes what is of its kind."""

    def __init__(self) -> None:
        self.blocks: list[_Block] = []
        self._calls: dict[int, _Call] = {}

    def add_text(self, piece: str) -> None:
        if self.blocks and isinstance(last := self.blocks[-1], _Text):
            last.pieces.append(piece)
        else:
            self.blocks.append(_Text([piece]))

    def add_reasoning(self, piece: str, signature: str | None) -> None:
        if self.blocks and isinstance(last := self.blocks[-1], _Reasoning) and not last.over:
            last.pieces.append(piece)
            last.signature, last.over = signature, signature is not None
        else:
            self.blocks.append(_Reasoning([piece], signature, over=signature is not None))

    def unsign(self) -> None:
        """A tool of OpenAI's own has run, which has no part here: without it the proof of what led to it is refused."""
        if self.blocks and isinstance(last := self.blocks[-1], _Reasoning):
            last.signature, last.over = None, True

    def add_redacted(self, json: str) -> None:
        """Anthropic's block comes in the payload that starts it, and another one ends it."""
        with contextlib.suppress(msgspec.DecodeError, UnicodeEncodeError):
            self.blocks.append(_Redacted(_decode_start(json).content_block.data))

    def start_call(self, started: ToolCallStarted) -> None:
        call = self._calls[started.call] = _Call(started, [])
        self.blocks.append(call)

    def add_arguments(self, number: int, piece: str) -> None:
        if (call := self._calls.get(number)) is not None:
            call.pieces.append(piece)


class _Cipher(msgspec.Struct):
    data: str


class _Start(msgspec.Struct):
    content_block: _Cipher


_decode_start: Final = msgspec.json.Decoder(_Start).decode


def _join(pieces: Iterable[str]) -> str:
    """The text, its surrogates paired, which two pieces may have torn apart; those that stay alone as U+FFFD."""
    text = "".join(pieces)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
