"""Reads a setting's value: each reader takes what a flag, a variable or the file holds, and returns what it means.

A reader raises ValueError with what would be right, worded to follow the setting's place. A secret's own text is
never part of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypeAlias

import msgspec

from tailrace.settings.secret import Secret


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What `env:NAME`, `file:PATH` and relative paths refer to: the environment and the working folder."""

    environ: Mapping[str, str]
    folder: Path


Reader: TypeAlias = Callable[[object, Surroundings], Any]

_SIZE_UNITS: Final = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
_TIME_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_MEASURE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", re.ASCII)
_ADMIN_KEY: Final = re.compile(r"tr_admin_[A-Za-z0-9_-]{43,}", re.ASCII)
_TARGET: Final = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST_S: Final = 366 * 86400.0
_BOUND: Final = 2.0**63
_SHOWN: Final = 60


def text(value: object, _: Surroundings) -> str:
    """A text in one line that is not empty."""
    if not isinstance(value, str) or not value.strip() or _UNPRINTABLE.search(value):
        refuse("a text in one line that is not empty", value)
    return value


def choice(*words: str) -> Reader:
    """A reader of one of these words, in any case."""

    def read(value: object, _: Surroundings) -> str:
        if not isinstance(value, str) or value.lower() not in words:
            refuse(f"one of {', '.join(words)}", value)
        return value.lower()

    return read


def whole(low: int, high: int) -> Reader:
    """A reader of whole numbers from `low` to `high`."""

    def read(value: object, _: Surroundings) -> int:
        number = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            refuse(f"a whole number from {low} to {high}", value)
        return number

    return read


def number(low: float, high: float) -> Reader:
    """A reader of numbers from `low` to `high`."""

    def read(value: object, _: Surroundings) -> float:
        amount = _measure(value, {"": 1.0})
        if amount is None or not low <= amount <= high:
            refuse(f"a number from {low:g} to {high:g}", value)
        return amount

    return read


def size(value: object, _: Surroundings) -> int:
    """Bytes, such as 65536, "32MiB" or "1.5 GB"."""
    amount = _measure(value, _SIZE_UNITS)
    if amount is None or not 1 <= amount < _BOUND:
        refuse('a size such as 65536, "512KiB" or "32MiB"', value)
    return int(amount)


def duration(low: float = 0.0) -> Reader:
    """A reader of seconds, such as 2.5, "250ms", "1h" or "30d", of at least `low` and at most a year."""

    def read(value: object, _: Surroundings) -> float:
        seconds = _measure(value, _TIME_UNITS)
        if seconds is None or not low <= seconds <= _LONGEST_S:
            refuse(f'a time of at least {low:g} s, such as 2.5 (seconds), "250ms", "10m" or "1h"', value)
        return seconds

    return read


def on_disconnect(value: object, _: Surroundings) -> Literal["cancel", "continue"] | float:
    """`cancel`, `continue`, or seconds of grace before the cancel."""
    match value:
        case "cancel":
            return "cancel"
        case "continue":
            return "continue"
    seconds = _measure(value, _TIME_UNITS)
    if seconds is None or seconds > _LONGEST_S:
        refuse('"cancel", "continue", or seconds of grace such as 10', value)
    return seconds


def folder(value: object, around: Surroundings) -> Path:
    """A folder's path, relative to the working folder; it need not exist."""
    return _path(text(value, around), around)


def file(value: object, around: Surroundings) -> Path:
    """The path of a file that exists, relative to the working folder."""
    path = _path(text(value, around), around)
    if not path.is_file():
        refuse("the path of a file that exists", value)
    return path


def root_path(value: object, around: Surroundings) -> str:
    """The prefix that a proxy strips, such as /ai, without a slash at its end."""
    if value == "":
        return ""
    path = text(value, around)
    if not path.startswith("/") or not path.isascii() or re.search(r"[?#\s]|//", path):
        refuse("a path such as /ai", value)
    return path.rstrip("/")


def secret(value: object, around: Surroundings) -> Secret:
    """A secret in one line: the text itself, `env:NAME` or `file:PATH`."""
    return Secret(reveal(value, around))


def admin_key(value: object, around: Surroundings) -> Secret:
    """`tr_admin_` and at least 43 letters, digits, - or _."""
    key = reveal(value, around)
    if not _ADMIN_KEY.fullmatch(key):
        raise ValueError("must be tr_admin_ and at least 43 characters (letters, digits, - and _)")
    return Secret(key)


def headers(value: object, around: Surroundings) -> dict[str, Secret]:
    """A table of header names and values; each value may be a secret's place."""
    if not isinstance(value, dict) or not all(_HEADER_NAME.fullmatch(name) for name in value):
        raise ValueError('must be a table of header names and values, such as {X-Team = "blue"}')
    return {name: secret(item, around) for name, item in value.items()}


def import_target(value: object, around: Surroundings) -> str:
    """Where a Python object lies, such as pkg.mod:runnable."""
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        refuse("a module and a name in it, such as pkg.mod:runnable", value)
    return value


def many(read: Reader) -> Reader:
    """A reader of a list of what `read` reads."""

    def read_all(value: object, around: Surroundings) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            refuse("a list", value)
        return tuple(read(item, around) for item in value)

    return read_all


def reveal(value: object, around: Surroundings) -> str:
    """The text that a secret's setting stands for: itself, or what `env:NAME` or `file:PATH` holds."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text, env:NAME or file:PATH")
    source, _, place = value.partition(":")
    revealed = value
    if source == "env":
        revealed = around.environ.get(place, "")
        if not revealed:
            raise ValueError(f"the variable {show(place)} that it names is not set")
    elif source == "file":
        revealed = _read_secret(_path(place, around))
    if not revealed or _UNPRINTABLE.search(revealed):
        raise ValueError("must be a secret in one line, not empty and without control characters")
    return revealed


def refuse(expected: str, value: object) -> NoReturn:
    """Raise the ValueError of a value that is not as expected."""
    raise ValueError(f"must be {expected}, not {show(value)}")


def show(value: object) -> str:
    """A value as it may stand in an error: in one line, and not too long."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _measure(value: object, units: Mapping[str, float]) -> float | None:
    match value:
        case str():
            found = _MEASURE.fullmatch(value.strip())
            unit = units.get(found[2].lower()) if found else None
            return min(float(found[1]) * unit, _BOUND) if found and unit is not None else None
        case bool():
            return None
        case int() | float():
            return float(value) if 0 <= value < _BOUND else None
    return None


def _path(name: str, around: Surroundings) -> Path:
    try:
        return around.folder / Path(name).expanduser()
    except RuntimeError:
        refuse("a path whose home folder is known", name)


def _read_secret(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ValueError(f"the file {show(str(path))} that it names can't be read: {reason}") from None
    return content.removesuffix("\n").removesuffix("\r")
