"""Names that nobody can guess: a prefix that says of what, and random bytes in hexadecimal."""

from __future__ import annotations

import os
import time
from typing import Final

_STOCK_BYTES: Final = 4096


class _Stock:
    """The system's randomness, fetched in stock: a request needs several names, and each fetch is a system call."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._digits = ""
        self._taken = 0

    def take(self, digits: int) -> str:
        start, end = self._taken, self._taken + digits
        if end > len(self._digits):
            self._digits = os.urandom(_STOCK_BYTES).hex()
            start, end = 0, digits
        self._taken = end
        return self._digits[start:end]


_stock: Final = _Stock()

if hasattr(os, "register_at_fork"):
    # Two processes with one stock would give the same names
    os.register_at_fork(after_in_child=_stock.clear)


def new_id(prefix: str, size: int) -> str:
    """`prefix`, then `size` random bytes. For names, not for keys: what was in stock lies in memory for a while."""
    return prefix + _stock.take(2 * size)


def new_timed_id(prefix: str, size: int) -> str:
    """The same with the time in seconds as the first four of its bytes.

    Rows that are made together lie together in an index then, and a database writes fewer of its pages.
    """
    return f"{prefix}{int(time.time()):08x}{_stock.take(2 * size - 8)}"
