"""Logs read out of Redis: one of them whole, or how many of them look from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import structlog

from tailrace.events import Event
from tailrace.streamlog.faces import Face
from tailrace.streamlog.redis import names
from tailrace.streamlog.redis.line import Command, Line
from tailrace.streamlog.redis.records import Found, face_of_records, read_found, read_runs
from tailrace.streamlog.redis.writing import Terms
from tailrace.streamlog.ring import RingLog
from tailrace.streamlog.store import Mark

_PAGE: Final = 256
_OPENING: Final = 3
_CLOSING: Final = 2

_log = structlog.get_logger(__name__)


class Reading:
    """Reads what is kept. Methods raise StoreError where Redis does not answer."""

    def __init__(self, line: Line, terms: Terms) -> None:
        self._line = line
        self._terms = terms

    async def find(self, log_id: str) -> Found | None:
        """All records of a log; None where there are none, or where it was kept for long enough."""
        records = await self._read_all(log_id)
        try:
            found = read_found(records)
        except msgspec.DecodeError:
            _log.exception("stream_not_readable", stream=log_id)
            return None
        return found if found is None or self._is_kept(found.ended_at) else None

    async def _read_all(self, log_id: str) -> list[Any]:
        records: list[Any] = []
        start = b"-"
        while True:
            (page,) = await self._line.ask((b"XRANGE", names.log_key(log_id), start, b"+", b"COUNT", _PAGE))
            records += page
            if len(page) < _PAGE:
                return records
            start = b"(" + page[-1][0]

    async def list_faces(
        self, owner: str | None, *, limit: int, after: Mark | None, chat_id: str | None
    ) -> Sequence[Face]:
        """How the owner's logs look, newest first; ids whose log is gone are forgotten on the way."""
        index = _index_of(owner, chat_id)
        faces: list[Face] = []
        while len(faces) < limit:
            marks = await self._read_marks(index, after, limit)
            if not marks:
                break
            after = marks[-1]
            found = await self._faces(index, [log_id for _, log_id in marks])
            faces += [face for face in found if owner is not None or chat_id in (None, face.chat_id)]
        return faces[:limit]

    async def _read_marks(self, index: bytes, after: Mark | None, limit: int) -> list[Mark]:
        """The next ids by time, those of the same time by name. Redis can say "from here on", not "behind this id"."""
        start, skip = "+inf", 0
        if after is not None:
            start = repr(after[0])
            (same,) = await self._line.ask((b"ZRANGEBYSCORE", index, start, start))
            skip = sum(member.decode() >= after[1] for member in same)
        command = (b"ZREVRANGEBYSCORE", index, start, b"-inf", b"WITHSCORES", b"LIMIT", skip, limit)
        (found,) = await self._line.ask(command)
        return [(float(score), member.decode()) for member, score in zip(found[::2], found[1::2], strict=True)]

    async def _faces(self, index: bytes, ids: Sequence[str]) -> list[Face]:
        replies = await self._line.ask(*(command for log_id in ids for command in _ask_for_ends(log_id)))
        faces: list[Face] = []
        gone: list[str] = []
        for log_id, opening, closing in zip(ids, replies[::2], replies[1::2], strict=True):
            try:
                face = face_of_records(log_id, opening, closing)
                ended = [run.ended_at for run in read_runs(closing) if run.ended_at is not None]
            except msgspec.DecodeError:
                continue
            if face is None:
                gone.append(log_id)
            elif self._is_kept(ended[0] if ended else None):
                faces.append(face)
        if gone:
            await self._line.ask((b"ZREM", index, *gone))
        return faces

    def _is_kept(self, ended_at: float | None) -> bool:
        return ended_at is None or self._terms.clock() - ended_at < self._terms.keep_s


def restore(log_id: str, found: Found) -> RingLog:
    """A log that has ended, as it was."""
    header = found.header
    log = RingLog(
        log_id, owner=header.owner, dialect=header.dialect, session_id=header.session_id, chat_id=header.chat_id
    )
    log.created_at = header.created_at
    log.torn = found.runs[-1].torn
    log.append(events_of(found.runs))
    return log


def events_of(runs: Iterable[Any]) -> list[Event]:
    """The events of runs that follow one another."""
    return [event for run in runs for event in run.events]


def _ask_for_ends(log_id: str) -> tuple[Command, Command]:
    key = names.log_key(log_id)
    return (b"XRANGE", key, b"-", b"+", b"COUNT", _OPENING), (b"XREVRANGE", key, b"+", b"-", b"COUNT", _CLOSING)


def _index_of(owner: str | None, chat_id: str | None) -> bytes:
    if owner is None:
        return names.EVERYONE
    return names.owner_key(owner) if chat_id is None else names.chat_key(owner, chat_id)
