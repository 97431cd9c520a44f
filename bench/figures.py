"""Figures: what a line of the table says, and how samples become one: medians, percentiles, ratios in a round."""

from collections.abc import Sequence
from statistics import median
from typing import Literal

import msgspec


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """The most that tailrace may read: `times` nginx in the same round, or in the figure's own `unit`."""

    at_most: float
    of: Literal["times", "unit"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: its name in the results, its title, its unit, whether a ratio to nginx says anything."""

    name: str
    title: str
    unit: str
    goal: Goal | None = None
    ratio: bool = True


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The middle of some values, the least and the greatest."""

    median: float
    least: float
    most: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value of an ascending, non-empty sequence that `percent` of them don't exceed (nearest rank)."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value."""
    return Spread(median=median(values), least=min(values), most=max(values))


def ratios(values: Sequence[float], floor: Sequence[float]) -> list[float]:
    """Each round's value by that of the floor in the same round; both sequences have one for each round."""
    return [value / under for value, under in zip(values, floor, strict=True)]
