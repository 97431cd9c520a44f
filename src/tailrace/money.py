"""Amounts of money as people write them, in whole pico-USD (10^-12 USD) as the ledger keeps them."""

from __future__ import annotations

import re
from typing import Final

PICO_PER_USD: Final = 10**12

_AMOUNT: Final = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,12}))?", re.ASCII)


def parse_usd(text: str) -> int:
    """Pico-USD from a plain decimal such as "12.50". Raises ValueError."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError("must be an amount in USD below 1 million, such as 50 or 12.50")
    return int(found[1]) * PICO_PER_USD + int((found[2] or "").ljust(12, "0"))


def show_usd(pico: int) -> str:
    """The amount in USD as a plain decimal, exact and without an exponent."""
    whole, part = divmod(abs(pico), PICO_PER_USD)
    sign = "-" if pico < 0 else ""
    return f"{sign}{whole}.{part:012d}".rstrip("0").rstrip(".")
