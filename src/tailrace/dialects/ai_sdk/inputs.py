"""The input of a tool call: the JSON that a model wrote, if it is JSON that a client can read."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from tailrace.dialects.base import replace_surrogates

_LINE_ENDS: Final = str.maketrans("\r\n", "  ")


def read_input(arguments: str) -> msgspec.Raw | None:
    """The arguments, unchanged but for line ends between them; None where they are no JSON. Nothing said is `{}`."""
    text = arguments.strip(" \t\r\n") or "{}"
    try:
        json.loads(text, parse_constant=_refuse, parse_int=str, object_pairs_hook=_check)
    except (ValueError, RecursionError):
        return None
    # No JSON string holds a line end as it is, so each stands between values
    return msgspec.Raw(replace_surrogates(text).translate(_LINE_ENDS).encode())


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what the SDK's parser does: at a key that could change a prototype it would give up the whole stream."""
    found = dict(pairs)
    match found.get("constructor"):
        case {"prototype": _}:
            raise ValueError("constructor.prototype")
    if "__proto__" in found:
        raise ValueError("__proto__")
    return found
