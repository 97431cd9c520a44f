"""Moments as people write them: a span such as 30d, counted from now, or a date. In Unix time; dates are UTC's."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN: Final = re.compile(r"([0-9]{1,6})([mhdw])", re.ASCII)
_LONGEST_S: Final = 100 * 366 * 86400


def read_past(text: str, now: float) -> float:
    """`7d` ago, or since a date. Raises ValueError."""
    seconds = _span(text)
    moment = _date(text) if seconds is None else now - seconds
    if moment is None:
        raise ValueError("must be a span such as 7d or 24h, or a date such as 2026-01-31")
    return max(moment, 0.0)


def read_future(text: str, now: float) -> float:
    """In `30d`, or at a date to come. Raises ValueError."""
    seconds = _span(text)
    moment = _date(text) if seconds is None else now + seconds
    if moment is None or not now < moment <= now + _LONGEST_S:
        raise ValueError("must be a span such as 30d or 12h, or a date to come such as 2031-01-31")
    return moment


def show_moment(moment: float) -> str:
    """A moment for people, to the second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _span(text: str) -> int | None:
    found = _SPAN.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] if found else None


def _date(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
