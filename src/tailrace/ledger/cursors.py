"""Cursors into lists that are sorted newest first: opaque to clients, a time and an id to us."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tailrace.errors import RequestError
from tailrace.ledger.base import Page
from tailrace.ledger.texts import is_storable

Place = tuple[float, str]


def write_cursor(place: Place) -> str:
    """The cursor that stands right behind the row with this time and id."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def read_cursor(cursor: str) -> Place:
    """What `write_cursor` was given. Raises RequestError 400 for a text that it did not write."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        place: Place | None = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=Place)
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError):
        place = None
    if place is None or not is_storable(place[1]) or write_cursor(place) != cursor:
        raise RequestError(
            400, "invalid_cursor", "the cursor is none: give back the next_cursor of a page", field="cursor"
        )
    return place


def make_page(found: Sequence[Any], limit: int, place_of: Callable[[Any], Place]) -> Page:
    """A page of at most `limit` items; `found` holds one more where others follow."""
    items = tuple(found[:limit])
    follows = len(found) > limit and items
    return Page(items=items, next_cursor=write_cursor(place_of(items[-1])) if follows else None)
