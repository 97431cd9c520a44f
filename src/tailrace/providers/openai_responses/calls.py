"""The function calls of a response, whose arguments come in pieces, or whole where a server does not stream them."""

from __future__ import annotations

from typing import Any

import msgspec

from tailrace.errors import UpstreamError
from tailrace.events import Event, ToolCallDelta, ToolCallStarted
from tailrace.providers.openai_responses.payloads import Item, Key
from tailrace.providers.payloads import write_json


class _Call(msgspec.Struct, kw_only=True):
    number: int
    id: str | None = None
    name: str = ""
    pieces: list[str] = []


class Calls:
    """The calls of one answer.

    A call begins where its name is known, which is when its item is added; arguments that come before wait for it.
    A call without an id gets one that is unique to the answer by `nonce`: a client needs it to hand the result back.
    """

    def __init__(self, *, nonce: str) -> None:
        self._nonce = nonce
        self._calls: list[_Call] = []
        self._latest: dict[Key, _Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def start(self, key: Key, item: Item, events: list[Event]) -> None:
        """The item of a call was added."""
        self._learn(self._open(key), item, events)

    def add(self, key: Key, piece: str, events: list[Event]) -> None:
        """A piece of its arguments came."""
        call = self._latest.get(key) or self._open(key)
        call.pieces.append(piece)
        if call.name:
            events.append(ToolCallDelta(call=call.number, arguments=piece))

    def complete(self, key: Key, arguments: Any, events: list[Event]) -> None:
        """Its arguments came whole: what is missing of them is told."""
        call = self._latest.get(key) or self._open(key)
        whole, came = _as_text(arguments), "".join(call.pieces)
        if len(whole) > len(came) and whole.startswith(came):
            self.add(key, whole[len(came) :], events)

    def end(self, key: Key, item: Item, events: list[Event]) -> None:
        """Its item is done, and all of it in there."""
        call = self._latest.get(key)
        if call is None or (call.id and item.call_id and call.id != item.call_id):
            call = self._open(key)
        self._learn(call, item, events)
        self.complete(key, item.arguments, events)

    def check(self) -> None:
        """Raise UpstreamError if a call never got a name."""
        if any(not call.name for call in self._calls):
            raise UpstreamError("upstream_invalid", "a tool call came without a name")

    def _open(self, key: Key) -> _Call:
        call = self._latest[key] = _Call(number=len(self._calls))
        self._calls.append(call)
        return call

    def _learn(self, call: _Call, item: Item, events: list[Event]) -> None:
        call.id = call.id or item.call_id
        if call.name or not item.name:
            return
        call.name = item.name
        call_id = call.id or item.id or f"call_{self._nonce}_{call.number}"
        events.append(ToolCallStarted(call=call.number, id=call_id, name=call.name))
        if call.pieces:
            events.append(ToolCallDelta(call=call.number, arguments="".join(call.pieces)))


def _as_text(arguments: Any) -> str:
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else write_json(arguments)
