"""Tells when a tool call's arguments are whole, from their JSON text as it comes."""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile(r'\\.|[\\"{}\[\]]', re.DOTALL)


class Arguments:
    """The text of one JSON object, in pieces; `whole` once its last bracket has come."""

    def __init__(self) -> None:
        self.whole = False
        self._depth = 0
        self._in_string = False
        self._rest = ""

    def feed(self, piece: str) -> None:
        """Take the next piece."""
        text, self._rest = self._rest + piece, ""
        for mark in _MARKS.findall(text):
            match mark:
                case '"':
                    self._in_string = not self._in_string
                case "\\":
                    # Cut within an escape.
                    self._rest = mark
                case "{" | "[" if not self._in_string:
                    self._depth += 1
                case "}" | "]" if not self._in_string:
                    self._depth -= 1
                    self.whole = self.whole or self._depth <= 0
