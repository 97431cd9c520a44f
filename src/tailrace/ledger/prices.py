"""What tokens cost, and how a price lies in its three columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tailrace.ledger.base import Pico, Price


def cost_of(price: Price, input_tokens: int, cached_input_tokens: int, output_tokens: int) -> Pico:
    """What these tokens cost; the cached ones are part of the input."""
    # An upstream's count of cached tokens may stand beside our own of the input, and be greater.
    cached = min(cached_input_tokens, input_tokens)
    return (input_tokens - cached) * price.input + cached * price.cached_input + output_tokens * price.output


def read_price(row: Sequence[Any]) -> Price | None:
    """A price from its three columns."""
    return None if row[0] is None else Price(input=row[0], cached_input=row[1], output=row[2])


def price_columns(price: Price | None) -> tuple[Pico | None, Pico | None, Pico | None]:
    """A price as its three columns."""
    return (None, None, None) if price is None else (price.input, price.cached_input, price.output)
