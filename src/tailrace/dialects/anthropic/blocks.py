"""An answer's events as blocks, which in this format come one after another: none opens before the last has closed.

The format: https://platform.claude.com/docs/en/build-with-claude/streaming. Other vendors' tool calls may come in
turns, a piece of one, a piece of the next. So what comes while a call's arguments are not whole, and is not theirs,
waits until they are, or until the answer ends. All of it follows from the events alone.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

from tailrace.dialects.anthropic.arguments import Arguments
from tailrace.dialects.anthropic.waiting import Waiting
from tailrace.events import Event, Opaque, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, ToolCallStarted


class Start(msgspec.Struct, frozen=True):
    """A block opens; `block` is as far as it is known."""

    index: int
    block: dict[str, Any]


class Delta(msgspec.Struct, frozen=True):
    """The open block goes on."""

    index: int
    delta: dict[str, Any]


class Stop(msgspec.Struct, frozen=True):
    """The open block closes."""

    index: int


Move: TypeAlias = Start | Delta | Stop
_Kind: TypeAlias = Literal["text", "thinking", "tool_use", "opaque"]


class _Open(msgspec.Struct, kw_only=True):
    index: int
    kind: _Kind
    call: int = -1
    arguments: Arguments | None = None
    sealed: bool = False

    @property
    def busy(self) -> bool:
        """Whether nothing else may come yet."""
        return self.arguments is not None and not self.arguments.whole


class _Payload(msgspec.Struct):
    """What Anthropic's own upstreams say of a block that has no event here."""

    type: str
    content_block: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None


_decode: Final = msgspec.json.Decoder(_Payload).decode


class Blocks:
    """The blocks of one answer: its first choice, as this format knows no other."""

    def __init__(self) -> None:
        self.text_index = -1
        """The index of the open block, if it is one of text."""
        self.refused = False
        """Whether the model has said no."""
        self._count = 0
        self._open: _Open | None = None
        self._waiting = Waiting()

    def take(self, event: Event) -> list[Move]:
        """What an event comes to, now."""
        moves: list[Move] = []
        if getattr(event, "choice", 0):
            return moves
        self.refused = self.refused or isinstance(event, RefusalDelta)
        if self._begins_again(event):
            moves += self._give_up()
        if self._must_wait(event):
            self._waiting.add(event)
            return moves
        moves += self._put(event)
        return moves if self._busy else moves + self._release()

    def extend(self, event: Event) -> int:
        """The open block's index, if the event only makes it longer, which it then has; else -1: `take` the event."""
        block = self._open
        if block is None or self._waiting:
            return -1
        if type(event) is ToolCallDelta:
            if block.arguments is None or block.call != event.call or event.choice or not event.arguments:
                return -1
            block.arguments.feed(event.arguments)
            return block.index
        if type(event) is ReasoningDelta and event.text and not event.signature and not event.choice:
            return block.index if block.kind == "thinking" and not block.sealed else -1
        return -1

    def end(self) -> list[Move]:
        """What is left when nothing more comes."""
        moves: list[Move] = []
        while self._waiting:
            moves += self._give_up()
        return moves + self._close()

    @property
    def _busy(self) -> bool:
        return self._open is not None and self._open.busy

    def _begins_again(self, event: Event) -> bool:
        """Whether no more of the open call can come, since its number is another's now."""
        return self._busy and isinstance(event, ToolCallStarted) and self._is_open(event.call)

    def _must_wait(self, event: Event) -> bool:
        return self._busy and not (isinstance(event, ToolCallDelta) and self._is_open(event.call))

    def _is_open(self, call: int) -> bool:
        return self._open is not None and self._open.call == call

    def _give_up(self) -> list[Move]:
        """Take the open call for whole, and go on."""
        return self._close() + self._release()

    def _release(self) -> list[Move]:
        """What waited and need not any more, in the order in which it came."""
        moves: list[Move] = []
        while self._waiting and not self._busy:
            for event in self._waiting.take():
                moves += self._put(event)
            if self._is_superseded():
                moves += self._close()
        return moves

    def _is_superseded(self) -> bool:
        """Whether a call that waits has the open one's number."""
        return self._open is not None and self._waiting.has_call(self._open.call)

    def _put(self, event: Event) -> list[Move]:
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                delta = {"type": "text_delta", "text": text}
                return [*self._enter("text", {"type": "text", "text": ""}), self._delta(delta)]
            case ReasoningDelta():
                return self._think(event)
            case ToolCallStarted(call=call, id=call_id, name=name):
                block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
                return self._start("tool_use", block, call=call)
            case ToolCallDelta(call=call, arguments=piece):
                return self._add_arguments(piece) if piece and self._is_open(call) else []
            case Opaque():
                return self._hand_on(event)
            case _:
                return []

    def _think(self, event: ReasoningDelta) -> list[Move]:
        moves: list[Move] = []
        if event.text or event.signature:
            moves += self._enter("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if event.text:
            moves.append(self._delta({"type": "thinking_delta", "thinking": event.text}))
        if event.signature and self._open is not None:
            moves.append(self._delta({"type": "signature_delta", "signature": event.signature}))
            self._open.sealed = True
        return moves

    def _add_arguments(self, piece: str) -> list[Move]:
        if self._open is not None and self._open.arguments is not None:
            self._open.arguments.feed(piece)
        return [self._delta({"type": "input_json_delta", "partial_json": piece})]

    def _hand_on(self, event: Opaque) -> list[Move]:
        try:
            payload = _decode(event.json)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return []
        kind = None if self._open is None else self._open.kind
        match payload.type, payload.content_block or {}, payload.delta or {}:
            case "content_block_start", {"type": "text", **more}, _:
                return self._start("text", {"type": "text", **more, "text": ""})
            case "content_block_start", {"type": str(other), **more}, _:
                return self._start("opaque", {"type": other, **more})
            case "content_block_delta", _, {"type": str(other), **more} if kind not in (None, "tool_use"):
                return [self._delta({"type": other, **more})]
            case "content_block_stop", _, _ if kind == "opaque":
                return self._close()
            case _:
                return []

    def _enter(self, kind: _Kind, block: dict[str, Any]) -> list[Move]:
        """Open a block of this kind, unless one is open that can go on."""
        if self._open is not None and self._open.kind == kind and not self._open.sealed:
            return []
        return self._start(kind, block)

    def _start(self, kind: _Kind, block: dict[str, Any], *, call: int = -1) -> list[Move]:
        moves = self._close()
        arguments = Arguments() if kind == "tool_use" else None
        self._open = _Open(index=self._count, kind=kind, call=call, arguments=arguments)
        self.text_index = self._count if kind == "text" else -1
        self._count += 1
        return [*moves, Start(self._open.index, block)]

    def _delta(self, delta: dict[str, Any]) -> Delta:
        return Delta(self._count - 1, delta)

    def _close(self) -> list[Move]:
        if self._open is None:
            return []
        closed, self._open = self._open, None
        self.text_index = -1
        return [Stop(closed.index)]
