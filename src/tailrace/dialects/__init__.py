"""Dialects: from events to a client's bytes, and from a client's body to a request."""

from typing import Final

from tailrace.dialects.base import Call, Dialect, Encoder
from tailrace.dialects.delta import DELTA
from tailrace.dialects.meta import META
from tailrace.dialects.raw import RAW
from tailrace.dialects.token import TOKEN
from tailrace.errors import RequestError

DIALECTS: Final[dict[str, Dialect]] = {dialect.name: dialect for dialect in (DELTA, TOKEN, RAW, META)}


def find_dialect(name: str) -> Dialect:
    """The format with this name. Raises RequestError 400 that lists the names there are."""
    if name not in DIALECTS:
        raise RequestError(400, "unknown_format", f"unknown format {name[:40]!r}; there are {', '.join(DIALECTS)}")
    return DIALECTS[name]


__all__ = ["DELTA", "DIALECTS", "META", "RAW", "TOKEN", "Call", "Dialect", "Encoder", "find_dialect"]
