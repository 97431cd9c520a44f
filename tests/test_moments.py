"""Moments: spans and dates as people write them."""

from __future__ import annotations

import pytest

from tailrace.moments import read_future, read_past, show_moment

NOW = 1_800_000_000.0
DAY = 86400.0


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", NOW - 5400), ("24h", NOW - DAY), ("7d", NOW - 7 * DAY), ("2w", NOW - 14 * DAY), ("0d", NOW),
        ("2026-01-31", 1769817600.0), ("2026-01-31T01:00:00+01:00", 1769817600.0), ("999999w", 0.0),
    ],
)  # fmt: skip
def test_the_past_is_a_span_ago_or_a_date(text: str, moment: float) -> None:
    """A span is counted back from now, at most to 1970; a date without a zone is UTC's."""
    assert read_past(text, NOW) == moment


def test_the_future_is_a_span_from_now_or_a_date_to_come() -> None:
    """A span is counted from now; a date must lie ahead."""
    assert read_future("30d", NOW) == NOW + 30 * DAY
    assert read_future("2031-01-31", NOW) == 1927584000.0


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "7 d", "7y", "tomorrow", "2026-13-01", "٣d", "1000000d"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Anything else is refused, and the answer says what would be right."""
    with pytest.raises(ValueError, match=r"span such as .* date"):
        read_past(text, NOW)
    with pytest.raises(ValueError, match=r"span such as .* date"):
        read_future(text, NOW)


@pytest.mark.parametrize("text", ["0d", "2020-01-01", "999999w", "9999-01-01"])
def test_no_end_lies_in_the_past_or_beyond_a_century(text: str) -> None:
    """An end that has passed already, or is a slip of the keyboard away from now, is refused."""
    with pytest.raises(ValueError, match="to come"):
        read_future(text, NOW)


def test_a_moment_is_shown_to_the_second() -> None:
    """People see UTC, without fractions."""
    assert show_moment(1769817600.9) == "2026-01-31 00:00:00"
