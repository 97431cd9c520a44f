"""The id of a frame as a place in a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import RequestError
from tailrace.web.cursors import Place, parse_place

LOG = "gen_0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("cursor", "seq", "frames"),
    [
        ("0", 0, 0),
        ("1", 1, 0),
        ("12", 12, 0),
        ("999999999", 999_999_999, 0),
        ("012", 12, 0),
        ("12.1", 11, 1),
        ("12.3", 11, 3),
        ("1.1", 0, 1),
        ("1.999", 0, 999),
        ("0.1", 0, 0),
        ("000.1", 0, 0),
    ],
)
def test_places(cursor: str, seq: int, frames: int) -> None:
    """An entry's id is after it; a frame's within an entry is after so many frames that follow the entry before."""
    assert parse_place(f"{LOG}.{cursor}") == Place(log_id=LOG, seq=seq, frames=frames)
    assert parse_place(f" {LOG}.{cursor}\t") == Place(log_id=LOG, seq=seq, frames=frames)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "12",
        LOG,
        f"{LOG}.",
        f"{LOG}.x",
        f"{LOG}.-1",
        f"{LOG}.+1",
        f"{LOG}.1.",
        f"{LOG}.1.x",
        f"{LOG}.1.-1",
        f"{LOG}.1.1.1",
        f"{LOG}.1 2",
        f"{LOG}.1\n.2",
        f"{LOG}.1000000000",
        f"{LOG}.1.1000",
        f"{LOG}.١",  # noqa: RUF001 - a digit, but none of ours
        f"{LOG.upper()}.1",
        f"{LOG}0.1",
        f"{LOG[:-1]}.1",
        f"x{LOG}.1",
        "gen_../../etc/passwd.1",
    ],
)
def test_what_is_no_cursor(cursor: str) -> None:
    """Anything else is refused with what a cursor looks like."""
    with pytest.raises(RequestError) as caught:
        parse_place(cursor)
    assert (caught.value.status, caught.value.code) == (400, "bad_cursor")
    assert "gen_….12" in caught.value.message


@given(cursor=st.text() | st.from_regex(r"gen_[0-9a-f]{20,26}\.[0-9.]{0,12}"))
def test_any_text(cursor: str) -> None:
    """Whatever is sent, it becomes a place in some log, or a named error that does not repeat all of it."""
    try:
        place = parse_place(cursor)
    except RequestError as error:
        assert len(error.message) < 1000  # noqa: PT017 - either end is right
    else:
        assert place.seq >= 0
        assert place.frames >= 0
