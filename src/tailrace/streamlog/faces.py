"""What a list of logs tells of each: whose it is, where it stands, how it ended; nothing of what it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from tailrace.events import Event, Failed, Finished, Started, UsageReported
from tailrace.streamlog.base import StreamLog

_OPENING: Final = 8
"""`Started` stands within the first entries; a surface may put something of its own before it."""


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """A log from outside; `tail` counts its entries. None is what it does not hold, or not yet."""

    id: str
    owner: str
    dialect: str
    session_id: str | None
    chat_id: str | None
    created_at: float
    tail: int
    started: Started | None = None
    usage: UsageReported | None = None
    terminal: Finished | Failed | None = None


def face_of(log: StreamLog) -> Face:
    """How a log looks from outside."""
    return make_face(log, [*log.read(0, _OPENING), *log.read(max(_OPENING, log.tail - 2), 2)])


def make_face(log: StreamLog | Face, events: Iterable[Event]) -> Face:
    """A face from what a log is known by, and those of its events that show in it, in order."""
    started: Started | None = None
    usage: UsageReported | None = None
    terminal: Finished | Failed | None = None
    for event in events:
        match event:
            case Started():
                started = event
            case UsageReported():
                usage = event
            case Finished() | Failed():
                terminal = event
            case _:
                pass
    return Face(
        id=log.id,
        owner=log.owner,
        dialect=log.dialect,
        session_id=log.session_id,
        chat_id=log.chat_id,
        created_at=log.created_at,
        tail=log.tail,
        started=started,
        usage=usage,
        terminal=terminal,
    )
