"""Every keeper of limits that there is, and how a test asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import pytest

from tailrace.errors import RequestError
from tailrace.limits import Limits, MemoryLimits, Quota


class Clock:
    """Time that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


Create: TypeAlias = Callable[[Callable[[], float]], Limits]

IMPLEMENTATIONS: Final[dict[str, Create]] = {"memory": MemoryLimits}


async def refused(limits: Limits, quota: Quota, *, tokens: int = 1, key: str = "key") -> RequestError:
    """How a request is refused."""
    with pytest.raises(RequestError) as refusal:
        await limits.acquire(key, quota, tokens=tokens)
    assert refusal.value.status == 429
    return refusal.value
