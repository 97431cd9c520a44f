"""One SQLite file of logs. It belongs to one process, which alone may open it, and to one thread of that process.

What a log gets between two groups is one *run*: a record that names the run before it. So a group of runs lies in few
pages however many logs it is of, and a log is read, or deleted, from its last run backwards. The log's own row learns
of its runs when it is sealed; for logs that never were, the runs since the oldest of them are read through at start.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tailrace.events import Started
from tailrace.streamlog.codec import decode_run, sound_text
from tailrace.streamlog.faces import Face, make_face
from tailrace.streamlog.group import Followed, Group, Written
from tailrace.streamlog.ring import RingLog
from tailrace.streamlog.schema import connect
from tailrace.streamlog.store import Mark, tear, torn_terminal

_DELETED_AT_ONCE: Final = 16
_FREED_AT_ONCE: Final = 256
_GATHER: Final = """WITH found AS (SELECT log, min(number) AS first, max(number) AS last FROM runs
    WHERE number >= (SELECT min(since) FROM logs WHERE ended_at IS NULL) GROUP BY log)
    UPDATE logs SET start_run = first, last_run = last, tail = (SELECT runs.tail FROM runs WHERE number = last)
    FROM found WHERE found.log = logs.number AND ended_at IS NULL"""
_TEAR_ALL: Final = "UPDATE logs SET ended_at = :now, torn = 1 WHERE ended_at IS NULL"
_NEXT: Final = "SELECT (SELECT coalesce(max(number), 0) FROM logs), (SELECT coalesce(max(number), 0) FROM runs)"

_FIND: Final = """SELECT id, owner, dialect, session_id, chat_id, created_at, tail, torn, last_run
    FROM logs WHERE id = :id AND ended_at > :oldest"""
_CHAIN: Final = """WITH RECURSIVE chain (number, previous) AS (
    SELECT number, previous FROM runs WHERE number = :run
    UNION ALL SELECT runs.number, runs.previous FROM runs JOIN chain ON runs.number = chain.previous)"""
_READ: Final = f"""{_CHAIN}
    SELECT events FROM runs WHERE number IN (SELECT number FROM chain) ORDER BY number"""  # noqa: S608 - our own words
_LIST: Final = """SELECT id, owner, dialect, session_id, chat_id, created_at, logs.tail, torn,
    start.events, last.events FROM logs LEFT JOIN runs start ON start.number = start_run
    LEFT JOIN runs last ON last.number = last_run
    WHERE {owned} (created_at, id) < (:time, :id) AND (:chat_id IS NULL OR chat_id = :chat_id)
    AND ended_at > :oldest
    ORDER BY created_at DESC, id DESC LIMIT :limit"""
_LIST_ALL: Final = _LIST.format(owned="")
_LIST_OWN: Final = _LIST.format(owned="owner = :owner AND")

_PLACE: Final = "SELECT number, last_run FROM logs WHERE id = :id"
_OLD: Final = "SELECT number, last_run FROM logs WHERE ended_at <= :oldest ORDER BY ended_at LIMIT :limit"
_OLDEST: Final = "SELECT number, last_run FROM logs WHERE ended_at IS NOT NULL ORDER BY ended_at LIMIT :limit"
_DELETE_RUNS: Final = f"""{_CHAIN}
    DELETE FROM runs WHERE number IN (SELECT number FROM chain)"""  # noqa: S608 - our own words
_DELETE_LOG: Final = "DELETE FROM logs WHERE number = :number"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which logs a list is of: an owner's or everyone's, a chat's or any, those after a place, not too old."""

    owner: str | None
    chat_id: str | None
    after: Mark | None
    limit: int
    oldest: float

    def admits(self, log: RingLog) -> bool:
        """Whether this log belongs to it, however old."""
        if self.after is not None and (log.created_at, log.id) >= self.after:
            return False
        return self.owner in (None, log.owner) and self.chat_id in (None, log.chat_id)


class LogFile:
    """The file and the connection into it. Methods raise sqlite3.Error and OSError, and change nothing then."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._number = 0
        self._next_log = self._next_run = 0

    def open(self, now: float) -> None:
        """Make the file if need be, and tear what a dead process left without a terminal."""
        with self._transaction() as connection:
            connection.execute(_GATHER)
            connection.execute(_TEAR_ALL, {"now": now})

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def write(self, followed: Sequence[Followed], given_up: Sequence[Written], now: float) -> None:
        """Write what these have more than the file, in one transaction, and tear those that were given up."""
        self._see_that_it_is_there()
        group = Group(self._next_log, self._next_run, file=self._number, now=now)
        written = [group.add(one) for one in followed]
        for place in given_up:
            group.seal(place, torn=True)
        with self._transaction() as connection:
            group.write(connection)
        self._next_log, self._next_run = group.next_log, group.next_run
        for one, place in zip(followed, written, strict=True):
            one.written = place

    def read(self, log_id: str, *, oldest: float) -> RingLog | None:
        """A log that was sealed, unless it ended before `oldest`."""
        connection = self._connected()
        found = connection.execute(_FIND, {"id": sound_text(log_id), "oldest": oldest}).fetchone()
        if found is None:
            return None
        *known, torn, run = found
        log = _restore(_bare(known))
        events = [event for (run,) in connection.execute(_READ, {"run": run}) for event in decode_run(run)]
        if events:
            log.append(events)
        if torn:
            tear(log)
        return log

    def list(self, wanted: Wanted) -> Sequence[Face]:
        """Logs that were sealed, from outside, newest first."""
        values = msgspec.structs.asdict(wanted)
        values["chat_id"] = None if wanted.chat_id is None else sound_text(wanted.chat_id)
        values["time"], values["id"] = values.pop("after") or (float("inf"), "")
        rows = self._connected().execute(_LIST_ALL if wanted.owner is None else _LIST_OWN, values)
        return [_face(row) for row in rows]

    def prune(self, *, oldest: float, most_bytes: int) -> bool:
        """Delete some logs that ended before `oldest`, or the oldest of too many; whether there were any."""
        connection = self._connected()
        found = connection.execute(_OLD, {"oldest": oldest, "limit": _DELETED_AT_ONCE}).fetchall()
        if not found and self.used_bytes() > most_bytes:
            found = connection.execute(_OLDEST, {"limit": _DELETED_AT_ONCE}).fetchall()
        self._delete(found)
        # As a script, for of a single statement the driver takes one step, which gives one page back
        connection.executescript(f"PRAGMA incremental_vacuum({_FREED_AT_ONCE})")
        return bool(found)

    def forget(self, log_id: str) -> None:
        """Delete one log."""
        found = self._connected().execute(_PLACE, {"id": sound_text(log_id)}).fetchone()
        if found is not None:
            self._delete([found])

    def _delete(self, places: Sequence[tuple[int, int | None]]) -> None:
        with self._transaction() as connection:
            for number, run in places:
                connection.execute(_DELETE_RUNS, {"run": run})
                connection.execute(_DELETE_LOG, {"number": number})

    def used_bytes(self) -> int:
        """How much of the file is in use."""
        connection = self._connected()
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()

    def _see_that_it_is_there(self) -> None:
        """A file that was deleted is begun anew with what memory has: SQLite would go on writing into the old one."""
        if self._connection is not None and self._look() != self._identity:
            self.close()
        self._connected()

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection, is_new = connect(self._path)
            identity = self._look()
            self._number += is_new or identity != self._identity
            self._identity = identity
            self._next_log, self._next_run = (last + 1 for last in self._connection.execute(_NEXT).fetchone())
        return self._connection


def _restore(face: Face) -> RingLog:
    log = RingLog(face.id, owner=face.owner, dialect=face.dialect, session_id=face.session_id, chat_id=face.chat_id)
    log.created_at = face.created_at
    return log


def _face(row: Sequence[Any]) -> Face:
    *known, torn, start, last = row
    opening = [] if start is None else [event for event in decode_run(start) if isinstance(event, Started)]
    face = make_face(_bare(known), [*opening, *([] if last is None else decode_run(last)[-2:])])
    if torn:
        return msgspec.structs.replace(face, tail=face.tail + 2, terminal=torn_terminal())
    return face


def _bare(known: Sequence[Any]) -> Face:
    log_id, owner, dialect, session_id, chat_id, created_at, tail = known
    return Face(
        id=log_id,
        owner=owner,
        dialect=dialect,
        session_id=session_id,
        chat_id=chat_id,
        created_at=created_at,
        tail=tail,
    )
