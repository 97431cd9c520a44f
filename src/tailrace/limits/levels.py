"""What a bucket has left, as callers are told: in headers, and in refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from tailrace.errors import RequestError

Kind: TypeAlias = Literal["requests", "tokens"]

MINUTE_S: Final = 60.0
MOMENT_S: Final = 1e-6
"""So much too early is in time: more than what adding fractions is off by."""


class Level(NamedTuple):
    """What is left of a minute's worth of something; less than nothing is a debt."""

    kind: Kind
    limit: int
    left: float

    def wait(self, amount: int) -> float:
        """Seconds until so much can be taken; more than a minute's worth counts as a minute's."""
        seconds = (min(amount, self.limit) - self.left) * MINUTE_S / self.limit
        return seconds if seconds > MOMENT_S else 0.0


def describe(levels: Sequence[Level]) -> dict[str, str]:
    """The `x-ratelimit-…` headers."""
    return {name: value for level in levels for name, value in _headers(level)} if levels else {}


def too_many_streams(max_streams: int, levels: Sequence[Level]) -> RequestError:
    """The refusal of a stream more than may be."""
    return RequestError(
        429,
        "too_many_streams",
        f"this key may have {max_streams} streams at a time, and has them",
        headers={"retry-after": "1", **describe(levels)},
    )


def rate_limited(levels: Sequence[Level], tokens: int) -> RequestError | None:
    """The refusal for what takes longest to be there, so that it need not be done twice; None where all is there."""
    if not levels:
        return None
    waits = [(level.wait(1 if level.kind == "requests" else tokens), level) for level in levels]
    wait, level = max(waits)
    if wait <= 0:
        return None
    seconds = math.ceil(wait)
    return RequestError(
        429,
        "rate_limited",
        f"this key may have {level.limit} {level.kind} a minute; try again in {seconds} s",
        headers={"retry-after": str(seconds), **describe(levels)},
    )


def _headers(level: Level) -> tuple[tuple[str, str], ...]:
    full_in = (level.limit - level.left) * MINUTE_S / level.limit
    there = level.left + level.limit * MOMENT_S / MINUTE_S
    return (
        (f"x-ratelimit-limit-{level.kind}", str(level.limit)),
        (f"x-ratelimit-remaining-{level.kind}", str(max(0, math.floor(there)))),
        (f"x-ratelimit-reset-{level.kind}", f"{full_in:.3f}s"),
    )
