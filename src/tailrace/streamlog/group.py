"""What goes into a file of logs together, in one transaction."""

from __future__ import annotations

import sqlite3
from functools import cache
from itertools import chain
from typing import Final

import msgspec

from tailrace.events import Failed, Finished, Started
from tailrace.streamlog.codec import encode_run, sound_text
from tailrace.streamlog.ring import RingLog

_LARGEST_RUN: Final = 4096
_ROWS: Final = (64, 16, 4, 1)
"""So many runs to a statement: with each the thread lets go of the interpreter, and must wait to have it back."""

_ADD_LOG: Final = """INSERT OR REPLACE INTO logs (number, id, owner, dialect, session_id, chat_id, created_at, since)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_ADD_RUNS: Final = "INSERT INTO runs (number, log, tail, previous, events) VALUES "
_SEAL: Final = "UPDATE logs SET tail = ?, last_run = ?, start_run = ?, ended_at = ?, torn = ? WHERE number = ?"


@cache
def _add_runs(count: int) -> str:
    return _ADD_RUNS + ", ".join(["(?, ?, ?, ?, ?)"] * count)


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """How far a log is in the file: its number there, its entries, its last run, the one that holds `Started`.

    `file` counts the files that there were: what was written into an earlier one is gone.
    """

    file: int = 0
    number: int = 0
    tail: int = 0
    run: int | None = None
    start: int | None = None


class Followed:
    """A log on its way into the file. Only the file's thread changes `written`, and only when that is committed."""

    __slots__ = ("log", "written")

    def __init__(self, log: RingLog) -> None:
        self.log = log
        self.written = Written()

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
        self._logs: list[tuple[object, ...]] = []
        self._runs: list[tuple[object, ...]] = []
        self._seals: list[tuple[object, ...]] = []

    def add(self, one: Followed) -> Written:
        """Add what there is of a log; how far it will be in the file then."""
        log = one.log
        before = one.written if one.written.file == self._file else Written()
        number = before.number or self._add_log(log)
        events = log.read(before.tail, _LARGEST_RUN)
        if not events:
            return msgspec.structs.replace(before, file=self._file, number=number)
        run, tail = self.next_run, before.tail + len(events)
        self.next_run += 1
        start = before.start
        if start is None and any(isinstance(event, Started) for event in events):
            start = run
        self._runs.append((run, number, tail, before.run, encode_run(events)))
        written = Written(file=self._file, number=number, tail=tail, run=run, start=start)
        if isinstance(events[-1], (Finished, Failed)):
            self.seal(written)
        return written

    def seal(self, written: Written, *, torn: bool = False) -> None:
        """Nothing follows in this log."""
        if written.file != self._file:
            return
        self._seals.append((written.tail, written.run, written.start, self._now, torn, written.number))

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it all."""
        connection.executemany(_ADD_LOG, self._logs)
        self._write_runs(connection)
        connection.executemany(_SEAL, self._seals)

    def _write_runs(self, connection: sqlite3.Connection) -> None:
        done = 0
        for size in _ROWS:
            while len(self._runs) - done >= size:
                rows = self._runs[done : done + size]
                connection.execute(_add_runs(size), tuple(chain.from_iterable(rows)))
                done += size

    def _add_log(self, log: RingLog) -> int:
        number = self.next_log
        self.next_log += 1
        names = (log.id, log.owner, log.dialect, log.session_id, log.chat_id)
        sound = (None if name is None else sound_text(name) for name in names)
        self._logs.append((number, *sound, log.created_at, self.next_run))
        return number
