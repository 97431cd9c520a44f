"""The scripts of the simulated model: `n200-d5` is 200 tokens, one each 5 ms."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tailrace.errors import RequestError

DEFAULT_NAMES: Final = frozenset({"", "simulated"})
"""The model names that mean the default script."""

_PART: Final = re.compile(r"([a-z])([0-9]{1,9})")


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated answer does. Counts are of tokens; None means: never, or one whole specimen for `tokens`."""

    tokens: int | None = None
    delay_ms: int = 20
    first_token_ms: int = 0
    reasoning: int = 0
    tool_calls: int = 0
    cut_after: int | None = None
    stall_after: int | None = None
    status: int | None = None


class _Letter(msgspec.Struct, frozen=True, kw_only=True):
    field: str
    meaning: str
    least: int = 0
    most: int = 1_000_000


_LETTERS: Final = {
    "n": _Letter(field="tokens", meaning="count", least=1),
    "d": _Letter(field="delay_ms", meaning="delay ms", most=60_000),
    "f": _Letter(field="first_token_ms", meaning="first-token ms", most=600_000),
    "r": _Letter(field="reasoning", meaning="reasoning tokens first"),
    "t": _Letter(field="tool_calls", meaning="tool calls", most=128),
    "x": _Letter(field="cut_after", meaning="cut after"),
    "s": _Letter(field="stall_after", meaning="stall after"),
    "e": _Letter(field="status", meaning="fail with this status", least=400, most=599),
}


def parse_script(model: str) -> Script:
    """Read a script such as `n200-d5`; an empty one, or `simulated`, is the default.

    Raises RequestError 404 that names the wrong part and the letters there are.
    """
    if model in DEFAULT_NAMES:
        return Script()
    values: dict[str, int] = {}
    for part in model.split("-"):
        field, value = _parse_part(part, model)
        if field in values:
            raise _not_found(model, f"{part[0]!r} is there twice")
        values[field] = value
    return Script(**values)


def _parse_part(part: str, model: str) -> tuple[str, int]:
    match = _PART.fullmatch(part)
    if match is None:
        raise _not_found(model, f"{part[:50]!r} is not a letter and a number")
    letter = _LETTERS.get(match[1])
    if letter is None:
        raise _not_found(model, f"there is no letter {match[1]!r}")
    value = int(match[2])
    if not letter.least <= value <= letter.most:
        raise _not_found(model, f"{match[1]!r} goes from {letter.least} to {letter.most}, not {value}")
    return letter.field, value


def _not_found(model: str, wrong: str) -> RequestError:
    letters = ", ".join(f"{name} {letter.meaning}" for name, letter in _LETTERS.items())
    message = f"no simulated model {model[:50]!r}: {wrong}; a script is like n200-d5, its letters are {letters}"
    return RequestError(404, "model_not_found", message, field="model")
