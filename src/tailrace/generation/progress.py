"""A running answer at a glance, for whoever watches over all of them."""

from __future__ import annotations

import msgspec

from tailrace.ledger import Pico


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer has come to so far: estimates, until it is settled.

    `provider` and `model` are those that are asked now. `cost` is None without a price, `ttft_ms` before any content.
    """

    provider: str
    model: str
    input_tokens: int | None
    output_tokens: int
    cost: Pico | None
    ttft_ms: float | None
