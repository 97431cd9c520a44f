"""The one shape that the chunks of an answer's text have: the same bytes before and behind every piece.

A shape is learned from a chunk that was read in full. Bytes that are nothing but frames of that shape need no more JSON
read than the texts in them; of all others it says nothing, and they are read in full.
"""

from __future__ import annotations

import re
from typing import Final, Self

import msgspec

from tailrace.providers.framing import MAX_PAYLOAD
from tailrace.providers.openai.payloads import GLANCES, TextChoice
from tailrace.providers.payloads import UNTIDY

_QUOTE: Final = b'"'
_FIELD: Final = b"data: "
_BLANK: Final = b"\n\n"

# So many bytes, a JSON string without its quotes, so many bytes. The first takes half the time, and no quotes. Where
# that is not what comes next, all the rest is one match, so that nobody looks for it from every byte on.
_CUTS: Final = (
    rb'(?s:.{%d})([^"]*+)(?<!\\)(?s:.{%d})|(?s:.+)',
    rb'(?s:.{%d})([^"\\]*+(?:\\.[^"\\]*+)*+)(?s:.{%d})|(?s:.+)',
)

_LAST_BYTES: Final = 8 << 10
"""How far from the end the last frame of a shape is looked for: usage and the answer's end are shorter."""

_read_text: Final = msgspec.json.Decoder(str).decode
_read_texts: Final = msgspec.json.Decoder(list[str]).decode


class Shape:
    """Frames that go on with the text of one choice: `head`, the text as JSON has it, `tail`.

    `found` says whether any were read.
    """

    __slots__ = ("_from", "_head", "_least_of_two", "_seam", "_tail", "_to", "choice", "found")

    def __init__(self, head: bytes, tail: bytes, choice: int) -> None:
        self.choice = choice
        self.found = False
        self._head = _FIELD + head + _QUOTE
        self._tail = _QUOTE + tail + _BLANK
        self._seam = self._tail + self._head
        self._least_of_two = 2 * len(self._seam)
        # Where a frame's text begins, and ends as seen from the frame's end, quotes included
        self._from, self._to = len(self._head) - 1, 1 - len(self._tail)

    @classmethod
    def learn(cls, payload: bytes, said: TextChoice) -> Self | None:
        """The shape of a chunk that said this; None where its text can't be told from all else by another in its place.

        What stands before a text and behind it is all of the JSON there is. So where one other text is read as it
        should be, every text is.
        """
        head, _, tail = payload.partition(_QUOTE + said.delta.content.encode() + _QUOTE)
        if not (head.isascii() and tail.isascii()) or b"\n" in payload:
            return None
        other = f"not {said.delta.content}"
        try:
            choices = GLANCES.decode(head + msgspec.json.encode(other) + tail).choices
        except UNTIDY:
            return None
        same = len(choices) == 1 and choices[0].index == said.index and choices[0].delta.content == other
        return cls(head, tail, said.index) if same else None

    def fits(self, payload: bytes) -> bool:
        """Whether a chunk that was read in full is of this shape."""
        frame = _FIELD + payload + _BLANK
        return frame.startswith(self._head) and frame.endswith(self._tail)

    def read_one(self, data: bytes) -> str:
        """The text of `data` where it is one frame of this shape, else none."""
        if len(data) < self._least_of_two and data.startswith(self._head) and data.endswith(self._tail):
            try:
                text = _read_text(data[self._from : self._to])
            except UNTIDY:
                return ""
            self.found = True
            return text
        return ""

    def read_all(self, data: bytes) -> tuple[list[str], int]:
        """The texts of the frames that `data` begins with, and how many bytes those take.

        No texts where one of them is not of this shape, or has none, though there is one of this shape behind it.
        """
        end = data.rfind(self._tail, -_LAST_BYTES) + len(self._tail)
        pieces = self._cut(data[:end])
        if not pieces or end > MAX_PAYLOAD:
            return [], 0
        try:
            texts = _read_texts(b'["%b"]' % b'","'.join(pieces))
        except UNTIDY:
            return [], 0
        self.found = True
        return (texts, end) if all(texts) else ([], 0)

    def _cut(self, frames: bytes) -> list[bytes]:
        """The texts as they are written; none where putting them together again does not come to the same."""
        for cut in _CUTS:
            pieces: list[bytes] = re.findall(cut % (len(self._head), len(self._tail)), frames)
            if frames == self._head + self._seam.join(pieces) + self._tail:
                return pieces
        return []


def payload_of(frame: bytes) -> bytes:
    """The data of one frame that a shape has read."""
    return frame[len(_FIELD) : -len(_BLANK)]


def payloads_of(frames: bytes) -> list[bytes]:
    """The data of the frames that a shape has read."""
    return [frame[len(_FIELD) :] for frame in frames.split(_BLANK)[:-1]]
