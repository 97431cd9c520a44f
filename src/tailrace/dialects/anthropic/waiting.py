"""Events that wait for their turn."""

from __future__ import annotations

from collections import deque

import msgspec

from tailrace.events import Event, TextDelta, ToolCallDelta, ToolCallStarted


class _Held(msgspec.Struct):
    """What waits: a text or a call with its pieces so far, or any other event."""

    event: Event
    pieces: list[str] = []

    def events(self) -> list[Event]:
        joined = "".join(self.pieces)
        match self.event:
            case TextDelta():
                return [TextDelta(text=joined)]
            case ToolCallStarted(call=call) if joined:
                return [self.event, ToolCallDelta(call=call, arguments=joined)]
            case _:
                return [self.event]


class Waiting:
    """Events in the order in which they came, but each call's pieces with their call.

    Neighbouring texts are one, since a replay joins them and must come to the same.
    """

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._calls: dict[int, _Held] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def has_call(self, call: int) -> bool:
        """Whether a call with this number is among them."""
        return call in self._calls

    def add(self, event: Event) -> None:
        """Have it wait, behind all others; a piece of a call that does not wait is of none."""
        match event:
            case TextDelta(text=text):
                if not self._held or not isinstance(self._held[-1].event, TextDelta):
                    self._held.append(_Held(event))
                self._held[-1].pieces.append(text)
            case ToolCallDelta(call=call, arguments=piece):
                if call in self._calls:
                    self._calls[call].pieces.append(piece)
            case ToolCallStarted(call=call):
                self._held.append(_Held(event))
                self._calls[call] = self._held[-1]
            case _:
                self._held.append(_Held(event))

    def take(self) -> list[Event]:
        """The first that waits, with what belongs to it."""
        held = self._held.popleft()
        if isinstance(held.event, ToolCallStarted) and self._calls[held.event.call] is held:
            del self._calls[held.event.call]
        return held.events()
