"""The tool calls of an OpenAI-compatible stream, whose pieces servers number in several ways, or not at all."""

from __future__ import annotations

from typing import Any

import msgspec

from tailrace.errors import UpstreamError
from tailrace.events import Event, ToolCallDelta, ToolCallStarted
from tailrace.providers.openai.payloads import FunctionPiece, ToolCallPiece
from tailrace.providers.payloads import write_json


class ToolCalls:
    """The tool calls of one choice.

    A piece belongs to the call with its `index`, else to that with its `id`, else to that of the piece before. A name
    under another id begins a new call even at a known index, because some servers number every call 0
    (https://github.com/ollama/ollama/issues/15457, 2026-11); a name with neither index nor id always does, because
    servers that send neither send whole calls; and one with arguments does where the call's own are whole already,
    because some that number every call 0 give no ids either (https://github.com/su-kaka/gcli2api/pull/406, 2026-11).
    A call without an id gets one that is unique to the answer by `nonce`, since a client needs it to hand the result
    back.
    """

    def __init__(self, *, choice: int, nonce: str) -> None:
        self._choice = choice
        self._nonce = nonce
        self._calls: list[_Call] = []
        self._latest: _Call | None = None
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def take(self, piece: ToolCallPiece, events: list[Event]) -> None:
        """Append the events of one piece."""
        call = self._find(piece)
        function = piece.function or FunctionPiece()
        call.id = call.id or piece.id
        call.add(_as_text(function.arguments))
        if not call.name and function.name:
            call.name = function.name
            events.append(
                ToolCallStarted(call=call.number, id=self._identify(call), name=call.name, choice=self._choice)
            )
        if call.name and call.held:
            events.append(ToolCallDelta(call=call.number, arguments=call.held, choice=self._choice))
            call.held = ""

    def check(self) -> None:
        """Raise UpstreamError if a call never got a name."""
        if any(not call.name for call in self._calls):
            raise UpstreamError("upstream_invalid", "a tool call came without a name")

    def _find(self, piece: ToolCallPiece) -> _Call:
        if piece.index is not None:
            call = self._by_index.get(piece.index)
        elif piece.id:
            call = self._by_id.get(piece.id)
        else:
            call = self._latest
        if call is None or _begins_another(piece, call):
            call = _Call(number=len(self._calls))
            self._calls.append(call)
        self._latest = call
        if piece.index is not None:
            self._by_index[piece.index] = call
        if piece.id:
            self._by_id.setdefault(piece.id, call)
        return call

    def _identify(self, call: _Call) -> str:
        call.id = call.id or f"call_{self._nonce}{self._choice or ''}_{call.number}"
        return call.id


class _Call(msgspec.Struct, kw_only=True):
    number: int
    id: str | None = None
    name: str = ""
    held: str = ""
    taken: list[str] = []

    def add(self, arguments: str) -> None:
        self.held += arguments
        self.taken.append(arguments)

    @property
    def is_whole(self) -> bool:
        """Whether the arguments so far are a JSON object that says something."""
        try:
            return bool(msgspec.json.decode("".join(self.taken), type=dict[str, msgspec.Raw]))
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return False


def _begins_another(piece: ToolCallPiece, call: _Call) -> bool:
    name = piece.function.name if piece.function else None
    if not name or not call.name:
        return False
    if piece.id:
        return piece.id != call.id
    if piece.index is None or name != call.name:
        return True
    return piece.function is not None and bool(_as_text(piece.function.arguments)) and call.is_whole


def _as_text(arguments: Any) -> str:
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else write_json(arguments)
