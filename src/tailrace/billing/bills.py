"""What is billed for an answer, and on which meter."""

from __future__ import annotations

from tailrace.ledger import bill_for
from tailrace.settings import Settings

__all__ = ["bill_for", "meter_in_force"]


def meter_in_force(settings: Settings) -> str | None:
    """The meter that settled rows are billed to; None where there is no billing."""
    return settings.stripe_meter if settings.stripe_api_key is not None else None
