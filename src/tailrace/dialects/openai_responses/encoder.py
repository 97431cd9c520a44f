"""The events of OpenAI's Responses API, as we write them.

The format: https://platform.openai.com/docs/api-reference/responses-streaming. Every event has a number, counted from 0
without a gap; a reader that comes back names the last one it has.
"""

from __future__ import annotations

from typing import Any, Final

from tailrace.dialects.base import Encoder, json_bytes
from tailrace.dialects.openai_responses.draft import Draft
from tailrace.events import Event, TextDelta

_TEXT: Final = "response.output_text.delta"


class OpenAIResponsesEncoder(Encoder):
    """Several events for some entries, one for a piece of text, none for what the format has no place for."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id)
        self._draft = Draft(stream_id)
        self._number = 0
        # Where a piece of text goes without any ado, and the frame that tells of it
        self._pieces: list[str] | None = None
        self._text_frame = b""

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is not TextDelta or self._pieces is None or event.choice:
            return self._encode_rare(seq, event)
        self._pieces.append(event.text)
        self._number += 1
        return self._text_frame % (seq, self._number - 1, json_bytes(event.text))

    def _encode_rare(self, seq: int, event: Event) -> bytes:
        told = self._draft.add(event)
        last = len(told)
        frames = [
            self._frame(b"%d" % seq if place == last else b"%d.%d" % (seq, place), kind, fields)
            for place, (kind, fields) in enumerate(told, 1)
        ]
        self._learn()
        return b"".join(frames)

    def _frame(self, place: bytes, kind: str, fields: dict[str, Any]) -> bytes:
        data = json_bytes({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return b"%b%b\nevent: %b\ndata: %b\n\n" % (self._id, place, kind.encode(), data)

    def _learn(self) -> None:
        """Write the frame of a piece of text, with places for the entry's number, the event's and the piece."""
        if (open_text := self._draft.open_text) is None:
            self._pieces = None
            return
        item, part = open_text
        if self._pieces is part.pieces:
            return
        self._pieces = part.pieces
        where = {"item_id": item.id, "output_index": item.place, "content_index": len(item.parts) - 1}
        same = json_bytes(where)[1:-1]
        data = b'{"type":"%b","sequence_number":%%d,%b,"delta":%%b,"logprobs":[]}' % (_TEXT.encode(), same)
        self._text_frame = b"%b%%d\nevent: %b\ndata: %b\n\n" % (self._id.replace(b"%", b"%%"), _TEXT.encode(), data)
