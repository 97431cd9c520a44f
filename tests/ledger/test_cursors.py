"""Cursors and titles, for any text there is."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.errors import RequestError
from tailrace.ledger.cursors import read_cursor, write_cursor
from tailrace.ledger.texts import is_storable, make_storable, make_title


@given(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text().filter(is_storable)))
def test_a_cursor_is_read_as_it_was_written(place: tuple[float, str]) -> None:
    """Every place comes back from its cursor."""
    assert read_cursor(write_cursor(place)) == place


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
@example("WzEsIlx1ZDgwMCJd")
@example("WzFlOTk5LCJhIl0")
@example("WzEsImEiXQ")
def test_any_other_text_is_refused(text: str) -> None:
    """A text that was never written as a cursor is the client's error."""
    with pytest.raises(RequestError) as error:
        read_cursor(text)
    assert (error.value.status, error.value.code) == (400, "invalid_cursor")


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 80))
def test_a_title_is_one_short_line_that_can_be_kept(text: str, longest: int) -> None:
    """Of any text the title is no longer than asked, in one line, and fit for every database."""
    title = make_title(text, longest)
    assert len(title) <= longest
    assert is_storable(title, make_storable(text))
    assert not set("\r\n\t\x00\u2028\u2029\x85") & set(title)


@pytest.mark.parametrize("text", ["a b", "é€😀"])
def test_what_can_be_kept_is_kept(text: str) -> None:
    """A text without fault is left as it is."""
    assert make_storable(text) == make_title(text, 60) == text
