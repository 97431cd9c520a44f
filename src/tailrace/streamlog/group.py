"""What goes into a file of logs together, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final, TypeAlias

import msgspec

from tailrace.events import Event, Failed, Finished, Started
from tailrace.streamlog.codec import encode_run, sound_text
from tailrace.streamlog.ring import RingLog

_LARGEST_RUN: Final = 4096
_ROWS: Final = (64, 16, 4, 1)
"""So many rows to a statement: with each the thread lets go of the interpreter, and must wait to have it back."""

_ADD_LOG: Final = """INSERT OR REPLACE INTO logs (tail, last_run, start_run, ended_at, torn, number, id, owner,
    dialect, session_id, chat_id, created_at, since) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_ADD_RUN: Final = "INSERT OR FAIL INTO runs (number, log, tail, previous, events) VALUES (?, ?, ?, ?, ?)"
_SEAL: Final = "UPDATE logs SET tail = ?, last_run = ?, start_run = ?, ended_at = ?, torn = ? WHERE number = ?"

_UNSEALED: Final = (0, None, None, None, 0)
_TERMINALS: Final = (Finished, Failed)

_Row: TypeAlias = tuple[object, ...]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """How far a log is in the file: its number there, its entries, its last run, the one that holds `Started`.

    `file` counts the files that there were: what was written into an earlier one is gone.
    """

    file: int = 0
    number: int = 0
    tail: int = 0
    run: int | None = None
    start: int | None = None


_NOWHERE: Final = Written()


class Followed:
    """A log on its way into the file. Only the file's thread changes `written`, and only when that is committed."""

    __slots__ = ("log", "written")

    def __init__(self, log: RingLog) -> None:
        self.log = log
        self.written = _NOWHERE

    @property
    def behind(self) -> bool:
        """There is more of it than the file has."""
        return self.written.tail < self.log.tail or not self.written.number


class Group:
    """What goes into the file together, as rows."""

    def __init__(self, next_log: int, next_run: int, *, file: int, now: float) -> None:
        self._file = file
        self.next_log = next_log
        self.next_run = next_run
        self._now = now
        self._logs: list[_Row] = []
        self._runs: list[_Row] = []
        self._seals: list[_Row] = []

    def add(self, one: Followed) -> Written:
        """Add what there is of a log; how far it will be in the file then."""
        before = one.written if one.written.file == self._file else _NOWHERE
        number = before.number or self.next_log
        events = one.log.read(before.tail, _LARGEST_RUN)
        written = self._add_run(number, before, events)
        seal = self._seal(written) if events and type(events[-1]) in _TERMINALS else None
        if not before.number:
            self.next_log += 1
            since = self.next_run if written.run is None else written.run
            self._logs.append((*(seal or _UNSEALED), number, *_names(one.log), one.log.created_at, since))
        elif seal is not None:
            self._seals.append((*seal, number))
        return written

    def seal(self, written: Written, *, torn: bool = False) -> None:
        """Nothing follows in this log."""
        if written.file == self._file:
            self._seals.append((*self._seal(written, torn=torn), written.number))

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it all."""
        _insert(connection, _ADD_LOG, self._logs)
        _insert(connection, _ADD_RUN, self._runs)
        connection.executemany(_SEAL, self._seals)

    def _add_run(self, number: int, before: Written, events: Sequence[Event]) -> Written:
        if not events:
            return msgspec.structs.replace(before, file=self._file, number=number)
        run, tail, start = self.next_run, before.tail + len(events), before.start
        self.next_run += 1
        if start is None and any(type(event) is Started for event in events):
            start = run
        self._runs.append((run, number, tail, before.run, encode_run(events)))
        return Written(file=self._file, number=number, tail=tail, run=run, start=start)

    def _seal(self, written: Written, *, torn: bool = False) -> _Row:
        return written.tail, written.run, written.start, self._now, int(torn)


def _names(log: RingLog) -> _Row:
    return (
        sound_text(log.id),
        sound_text(log.owner),
        sound_text(log.dialect),
        None if log.session_id is None else sound_text(log.session_id),
        None if log.chat_id is None else sound_text(log.chat_id),
    )


def _insert(connection: sqlite3.Connection, insert: str, rows: Sequence[_Row]) -> None:
    done = 0
    for size in _ROWS:
        while len(rows) - done >= size:
            connection.execute(_repeat(insert, size), tuple(chain.from_iterable(rows[done : done + size])))
            done += size


@cache
def _repeat(insert: str, count: int) -> str:
    """The statement for so many rows."""
    head, values, row = insert.rpartition("VALUES ")
    return head + values + ", ".join([row] * count)
