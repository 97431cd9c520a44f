"""Where a reader left off: the `id` of the last frame it got, `<generation>.<seq>` or `<generation>.<seq>.<k>`."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tailrace.errors import RequestError

_PLACE: Final = re.compile(r"(gen_[0-9a-f]{24})\.(\d{1,9})(?:\.(\d{1,3}))?", re.ASCII)


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
