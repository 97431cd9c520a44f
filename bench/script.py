"""The script of an answer, written as a model's name: `n1`, `burst-n1000`, `paced-n100-d20`, `paced-n500-d1-k25`."""

import re

import msgspec

from bench.errors import ScriptError

MOST_TOKENS = 100_000
LONGEST_DELAY_MS = 60_000

_NAME = re.compile(
    r"(?:burst-)?n(?P<burst>\d{1,9})|paced-n(?P<paced>\d{1,9})-d(?P<delay>\d{1,9})(?:-k(?P<lump>\d{1,9}))?", re.ASCII
)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens an answer has, `lump` of them each `delay_ms`; None: all as fast as they can be sent.

    The tokens of a lump are sent by one call, all others each by its own.
    """

    tokens: int
    delay_ms: int | None = None
    lump: int = 1


def parse_script(model: str) -> Script:
    """Read the script that `model` names; raises `ScriptError` where it names none, or one out of bounds."""
    match = _NAME.fullmatch(model)
    if match is None:
        raise ScriptError(f"model {model!r} is no script: n1, burst-n1000 and paced-n100-d20 are")
    delay = match["delay"]
    script = Script(
        tokens=int(match["burst"] or match["paced"]),
        delay_ms=None if delay is None else int(delay),
        lump=int(match["lump"] or 1),
    )
    _check_bounds(model, script)
    return script


def _check_bounds(model: str, script: Script) -> None:
    if not 1 <= script.tokens <= MOST_TOKENS:
        raise ScriptError(f"model {model!r}: an answer has 1 to {MOST_TOKENS} tokens")
    if script.delay_ms is not None and not 1 <= script.delay_ms <= LONGEST_DELAY_MS:
        raise ScriptError(f"model {model!r}: between two tokens lie 1 to {LONGEST_DELAY_MS} ms")
    if not 1 <= script.lump <= script.tokens:
        raise ScriptError(f"model {model!r}: a lump has 1 to {script.tokens} tokens, as many as the answer")
