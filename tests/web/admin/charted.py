"""What a ledger says for charts, with only what matters said; and an upstream that fails."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.errors import FailureCode, UpstreamError
from tailrace.health import Health
from tailrace.ledger import Latency, Point, Spending, Spread


def point(**changes: Any) -> Point:
    """An hour of a model."""
    figures: dict[str, Any] = {
        "starts": 7200, "group": "m", "generations": 2, "input_tokens": 3, "output_tokens": 4, "cost": 5 * 10**11,
        "unpriced": 0,
    }  # fmt: skip
    return Point(**{**figures, **changes})


def latency(**changes: Any) -> Latency:
    """How long all answers took; nothing is known between tokens."""
    figures: dict[str, Any] = {
        "model": None, "first_token": Spread(answers=3, p50=1.5, p90=2.0, p99=9.0), "between_tokens": None,
    }  # fmt: skip
    return Latency(**{**figures, **changes})


def spending(**changes: Any) -> Spending:
    """What a key that exists no longer has spent."""
    return Spending(**{"key_id": "gone", "day": 1, "month": 10**12, "total": 2 * 10**12, **changes})


async def fail_upstream(
    health: Health, code: FailureCode = "upstream_cut", *, name: str = "simulated", status: int | None = None
) -> None:
    """One exchange that fails."""

    async def run() -> None:
        raise UpstreamError(code, "no", status=status)

    with pytest.raises(UpstreamError):
        await health.watch(name, run())
