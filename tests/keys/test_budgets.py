"""Budgets: their texts and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.keys import parse_budget, show_budget
from tailrace.ledger import Budget, Period

PERIODS = st.sampled_from(["day", "month", "total"])


@given(st.integers(min_value=1, max_value=10**18 - 1), PERIODS)
def test_a_budget_comes_back(amount: int, period: Period) -> None:
    """What is shown of a budget is read as the same."""
    budget = Budget(amount=amount, period=period)
    assert parse_budget(show_budget(budget)) == budget


@pytest.mark.parametrize(
    ("text", "amount", "period"),
    [("50/month", 50, "month"), ("5/day", 5, "day"), ("50", 50, "total"), ("50/total", 50, "total"), (50, 50, "total"),
     (" 7 / day ", 7, "day")],
)  # fmt: skip
def test_a_budget_is_read(text: object, amount: int, period: Period) -> None:
    """By the month, by the day, or bare: in all."""
    assert parse_budget(text) == Budget(amount=amount * 10**12, period=period)


@pytest.mark.parametrize(
    "text", ["", "lots", "0", "0/day", "-5", "5/year", "5/", "/day", "5/day/day", None, True, [], 0, -1.0, float("nan")]
)
def test_what_is_no_budget_is_refused(text: object) -> None:
    """No number, nothing, less than nothing, an unknown period: refused with an example."""
    with pytest.raises(ValueError, match="50/month"):
        parse_budget(text)
