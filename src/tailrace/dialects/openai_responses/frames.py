"""An upstream's own events, as the frames of a log hold them: read, renumbered, and given our names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from tailrace.dialects.base import json_bytes
from tailrace.dialects.openai_responses.names import adopt_id, response_id

Fields: TypeAlias = dict[str, Any]

_DATA: Final = b"data: "

# A name stands in quotes behind one of these, which no text of JSON's can hold unescaped.
_NAMED: Final = re.compile(rb'("(?:id|item_id|response_id)"\s*:\s*)("(?:[^"\\]|\\.)*")')

_read_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def data_of(frame: bytes) -> bytes:
    """The JSON in a frame's lines of data."""
    return b"\n".join(line.removeprefix(_DATA) for line in frame.split(b"\n") if line.startswith(_DATA))


def parse_event(data: bytes) -> Fields:
    """An event; an empty one where it is no object."""
    try:
        parsed = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Servers are seen to send NaN, and halves of surrogate pairs
        parsed = json.loads(data)
    return parsed if isinstance(parsed, dict) else {}


def items_in(event: Fields) -> list[Fields]:
    """The output items that an event tells of."""
    response = event.get("response")
    output = response.get("output") if isinstance(response, dict) else None
    told = [event.get("item"), *(output if isinstance(output, list) else ())]
    return [item for item in told if isinstance(item, dict)]


class Exchange:
    """Our names in place of the upstream's: the response's always, those of its items where they are `kept`.

    Names are learned from the events in which they stand; `place` changes no other byte.
    """

    def __init__(self, stream_id: str, *, kept: bool) -> None:
        self._stream_id = stream_id
        self.kept = kept
        self._ours: dict[str, bytes] = {}

    def learn(self, event: Fields) -> None:
        """Take up the names in an event."""
        response = event.get("response")
        self._learn_response(event.get("response_id"))
        self._learn_response(response.get("id") if isinstance(response, dict) else None)
        if self.kept:
            self._learn_item(event.get("item_id"))
            for item in items_in(event):
                self._learn_item(item.get("id"))

    def place(self, data: bytes) -> bytes:
        """The event's JSON with our names."""
        return _NAMED.sub(self._swap, data) if self._ours else data

    def ours(self, theirs: str) -> bytes | None:
        """Our name for one of theirs, in quotes; None where it is not known, or stays."""
        return self._ours.get(theirs)

    def _learn_response(self, theirs: Any) -> None:
        if isinstance(theirs, str):
            self._ours[theirs] = json_bytes(response_id(self._stream_id))

    def _learn_item(self, theirs: Any) -> None:
        if isinstance(theirs, str) and theirs and theirs not in self._ours:
            self._ours[theirs] = json_bytes(adopt_id(self._stream_id, theirs))

    def _swap(self, found: re.Match[bytes]) -> bytes:
        ours = self._ours.get(json.loads(found[2]))
        return found[0] if ours is None else found[1] + ours


def amend(data: bytes, changes: Mapping[str, Any], response: Mapping[str, Any]) -> bytes:
    """An event with other values for some of its fields, and of those of its `response`; all others as written."""
    if not changes and not response:
        return data
    try:
        fields: Fields = dict(_read_fields(data))
        inner: Fields = dict(_read_fields(bytes(fields["response"]))) if response else {}
    except msgspec.DecodeError:
        fields = parse_event(data)
        inner = dict(fields["response"]) if response else {}
    if response:
        fields["response"] = {**inner, **response}
    return json_bytes({**fields, **changes})
