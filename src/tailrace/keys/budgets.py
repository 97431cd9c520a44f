"""Budgets as people write them: `50/month`, `5/day`, and a bare `50` in all."""

from __future__ import annotations

from typing import Final, get_args

from tailrace.ledger import Budget, Period
from tailrace.money import parse_usd, show_usd

_EXPECTED: Final = 'must be an amount in USD above 0, such as "50/month", "5/day" or, in all, "50"'
_PERIODS: Final = {period: period for period in get_args(Period)}


def parse_budget(text: object) -> Budget:
    """A budget from its text, or from a number, which is in all. Raises ValueError that says what would be right."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(_EXPECTED)  # noqa: TRY004 - Pydantic's protocol
    amount, slash, period = str(text).partition("/")
    try:
        pico = parse_usd(amount.strip())
    except ValueError:
        pico = 0
    if not pico or (slash and period.strip() not in _PERIODS):
        raise ValueError(f"{_EXPECTED}, not {str(text)[:40]!r}")
    return Budget(amount=pico, period=_PERIODS[period.strip()] if slash else "total")


def show_budget(budget: Budget) -> str:
    """The text that `parse_budget` reads."""
    amount = show_usd(budget.amount)
    return amount if budget.period == "total" else f"{amount}/{budget.period}"
