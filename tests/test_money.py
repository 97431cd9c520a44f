"""Amounts of money: what people write, and whole pico-USD."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.money import parse_usd, show_usd


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_an_amount_comes_back_exactly(pico: int) -> None:
    """Whatever is shown is read back as the same pico-USD, without an exponent."""
    assert parse_usd(show_usd(pico)) == pico
    assert "e" not in show_usd(pico)


@pytest.mark.parametrize(
    ("pico", "shown"),
    [(0, "0"), (1, "0.000000000001"), (10**12, "1"), (12_500_000_000_000, "12.5"), (-(10**11), "-0.1")],
)
def test_an_amount_is_a_plain_decimal(pico: int, shown: str) -> None:
    """The smallest and the negative amount too are shown as a person would write them."""
    assert show_usd(pico) == shown


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "+1", "1e3", "1.", ".5", "1,5", "1000000", "0.0000000000001", "٣", "1 "]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Anything but a plain decimal below a million, to the pico-USD, is refused."""
    with pytest.raises(ValueError, match="amount in USD"):
        parse_usd(text)
