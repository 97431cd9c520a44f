"""What the ledger's rows come to, in all and over time."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Grouping: TypeAlias = Literal["key", "model", "day", "status"]
Step: TypeAlias = Literal["hour", "day"]
Split: TypeAlias = Literal["key", "model", "provider", "status"]


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """Settled usage summed over one group; `cost`, in pico-USD, sums the priced rows, `unpriced` counts the others."""

    group: str
    generations: int
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cached_input_tokens: int
    delivered_tokens: int
    cost: int
    unpriced: int


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Settled usage of one step of time and one group: of a key, a model, a provider or a status.

    `starts` is Unix time; `cost`, in pico-USD, sums the priced rows, `unpriced` counts the others.
    """

    starts: int
    group: str
    generations: int
    input_tokens: int
    output_tokens: int
    cost: int
    unpriced: int


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How a duration in milliseconds is spread: of so many answers, the nearest-rank percentiles."""

    answers: int
    p50: float
    p90: float
    p99: float


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long a model's answers took; `model` is None for all of them together. None where no answer says it.

    `first_token` is from the request to the first content, `between_tokens` each finished answer's mean gap after it.
    """

    model: str | None
    first_token: Spread | None
    between_tokens: Spread | None


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What a key has spent and reserved, in pico-USD: this day, this month (UTC's), and in all."""

    key_id: str
    day: int
    month: int
    total: int
