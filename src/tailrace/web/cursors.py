"""Where a reader left off: the `id` of the last frame it got, `<generation>.<seq>` or `<generation>.<seq>.<k>`."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tailrace.errors import RequestError
from tailrace.streamlog import StreamLog

_PLACE: Final = re.compile(r"(gen_[0-9a-f]{24})\.(\d{1,9})(?:\.(\d{1,3}))?", re.ASCII)


LAST: Final = 999_999_999
"""The number that the end of a torn log goes by: its readers may have seen any other one."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """After entry `seq` of a log; with `frames` after so many frames of the entry that follows."""

    log_id: str
    seq: int
    frames: int = 0


def parse_place(cursor: str) -> Place:
    """A cursor as its place. Raises RequestError 400 where it is none."""
    found = _PLACE.fullmatch(cursor.strip())
    if found is None:
        raise RequestError(
            400, "bad_cursor", f"{cursor[:80]!r} is no cursor; it is the id of a frame, such as gen_….12"
        )
    log_id, seq, frame = found[1], int(found[2]), found[3]
    if frame is None or not seq:
        return Place(log_id=log_id, seq=seq)
    return Place(log_id=log_id, seq=seq - 1, frames=int(frame))


def locate(place: Place, log: StreamLog) -> Place | None:
    """Where in this log a reader goes on; None where nothing is left.

    Raises RequestError 400 for a place beyond the last entry. In a torn log, what lies beyond is what the reader got
    and the log did not keep: there the end alone is left.
    """
    if log.torn:
        return _locate_in_torn(place, log)
    if place.seq + bool(place.frames) > log.tail:
        raise RequestError(400, "bad_cursor", f"the cursor is beyond the stream's last entry, {log.tail}")
    return None if log.terminal is not None and place.seq >= log.tail else place


def _locate_in_torn(place: Place, log: StreamLog) -> Place | None:
    before_end = log.tail - 1
    if place.seq >= LAST:
        return None
    if place.frames and place.seq == LAST - 1:
        return Place(log_id=log.id, seq=before_end, frames=place.frames)
    kept = before_end - 1  # the last entry but for the two that were added
    return Place(log_id=log.id, seq=before_end) if place.seq + bool(place.frames) > kept else place
