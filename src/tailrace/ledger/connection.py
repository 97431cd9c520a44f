"""One SQLite connection with its thread, which runs the work that waits for it in groups, a transaction to a group."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from tailrace.errors import StoreError
from tailrace.ledger.database import Batch, BatchWork, Many, Query, Rows, Work

T = TypeVar("T")
V = TypeVar("V")

_ENOUGH: Final = 256
"""So many jobs make a group to which no more are added."""

PATIENCE_S: Final = 0.005
"""How long a patient job waits for others, with which it then shares a transaction."""

_HURRIED_MS: Final = 50
_PRIMARY_CODE: Final = 0xFF  # the rest says more exactly what kind of it


class _Job(msgspec.Struct, frozen=True):
    """A work and the future of who waits for it; with a batch, it may be done as one with others."""

    future: Future[Any]
    make: Callable[..., Work[Any]]
    values: tuple[Any, ...] = ()
    batch: Batch[Any, Any] | None = None


_Outcomes: TypeAlias = list[tuple["Future[Any]", Any]]


class Connection:
    """Runs work for futures. `connect` is called in the thread, for the first group and after `disconnect`.

    `check` is called before each group with its size; what it raises goes to all the group's futures. What is submitted
    in one turn of the event loop goes to the thread at the turn's end, so that it is woken once.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        begin: str,
        name: str,
        check: Callable[[int], None] = lambda _: None,
    ) -> None:
        # For its whole life
        self._connect = connect
        self._begin = begin
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[list[_Job] | Callable[[], None]] = queue.SimpleQueue()
        self._ended: Future[None] = self._loop.create_future()
        self._closed = False
        # What was submitted, until the thread is given it
        self._submitted: list[_Job] = []
        self._handing_over = False
        self._timer: asyncio.TimerHandle | None = None
        # The thread's own
        self.connection: sqlite3.Connection | None = None
        self._patience_ms: int | None = None
        self._running = True
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, make: Callable[[], Work[T]]) -> Future[T]:
        """Run `make()` in one of the next transactions."""
        future: Future[T] = self._loop.create_future()
        self._submit(_Job(future, make), patient=False)
        return future

    def submit_batched(self, batch: Batch[V, T], value: V, *, patient: bool) -> Future[T]:
        """The same for one value of a batch; a patient one waits a moment for others."""
        future: Future[T] = self._loop.create_future()
        self._submit(_Job(future, batch.one, (value,), batch), patient=patient)
        return future

    def order(self, sql: str) -> None:
        """Execute a statement outside of any transaction, when there is time; called from any thread."""
        self._waiting.put(lambda: self._execute(sql))

    def disconnect(self) -> None:
        """Close the connection until there is new work; called from another thread, which waits for it."""
        closed = threading.Event()

        def close() -> None:
            self.drop()
            closed.set()

        self._waiting.put(close)
        closed.wait()

    async def close(self) -> None:
        """Run what waits, then end the thread."""
        self._closed = True
        self._hand_over()
        self._waiting.put(self._stop)
        await self._ended

    def _submit(self, job: _Job, *, patient: bool) -> None:
        if self._closed:
            job.future.set_exception(StoreError("SQLite: the ledger is closed"))
            return
        self._submitted.append(job)
        if not patient and not self._handing_over:
            self._handing_over = True
            self._loop.call_soon(self._hand_over)
        elif patient and self._timer is None and not self._handing_over:
            self._timer = self._loop.call_later(PATIENCE_S, self._hand_over)

    def _hand_over(self) -> None:
        self._handing_over = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        submitted, self._submitted = self._submitted, []
        for place in range(0, len(submitted), _ENOUGH):
            self._waiting.put(submitted[place : place + _ENOUGH])

    # In the thread

    def _run(self) -> None:
        while self._running:
            group, after = self._next_group()
            if group:
                self._answer(self._run_group(group))
            del group  # or what it holds would live until there is more to do
            if after is not None:
                after()
        self.drop()
        with contextlib.suppress(RuntimeError):  # The loop was closed and nobody waits.
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    def _next_group(self) -> tuple[list[_Job], Callable[[], None] | None]:
        """All jobs that wait, up to the first order; and that."""
        item = self._waiting.get()
        group: list[_Job] = []
        while isinstance(item, list):
            group += item
            if len(group) >= _ENOUGH or self._waiting.empty():
                return group, None
            item = self._waiting.get()
        return group, item

    def _run_group(self, group: Sequence[_Job]) -> _Outcomes:
        """What each came to: a result or an error. One that spoils the transaction has it run again, each alone."""
        try:
            self._check(len(group))
            connection = self._connected()
            connection.execute(self._begin)
        except Exception as error:
            self._lose_patience(error)
            return [(job.future, _store_error(error)) for job in group]
        self._regain_patience(connection)
        try:
            outcomes = _run_jobs(connection, group)
            connection.execute("COMMIT")
        except Exception as error:
            self._roll_back(connection)
            if len(group) == 1 and group[0].batch is None:
                return [(group[0].future, _store_error(error))]
            alone = [_Job(job.future, job.make, job.values) for job in group]
            return [outcome for job in alone for outcome in self._run_group([job])]
        return outcomes

    def _connected(self) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = self._connect()
        return self.connection

    def _lose_patience(self, error: Exception) -> None:
        """What waits behind a group that waited in vain for another process shall not wait as long, each in turn."""
        if self._patience_ms is None and self.connection is not None and _is_busy(error):
            (self._patience_ms,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
            self.connection.execute(f"PRAGMA busy_timeout = {_HURRIED_MS}")

    def _regain_patience(self, connection: sqlite3.Connection) -> None:
        if self._patience_ms is not None:
            connection.execute(f"PRAGMA busy_timeout = {self._patience_ms}")
            self._patience_ms = None

    def _execute(self, sql: str) -> None:
        # Nobody waits for it; what is wrong with the database is said to those who do.
        with contextlib.suppress(sqlite3.Error):
            self._connected().execute(sql)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.drop()

    def _answer(self, outcomes: _Outcomes) -> None:
        try:
            self._loop.call_soon_threadsafe(_answer, outcomes)
        except RuntimeError:  # The loop was closed without us: nobody waits.
            self._running = False

    def drop(self) -> None:
        """Close the connection until there is new work."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
            self._patience_ms = None

    def _stop(self) -> None:
        self._running = False


def _run_jobs(connection: sqlite3.Connection, group: Sequence[_Job]) -> _Outcomes:
    """Run the works of each batch as one, and the others each alone."""
    batches: dict[Batch[Any, Any] | None, list[_Job]] = {}
    for job in group:
        batches.setdefault(job.batch, []).append(job)
    outcomes: _Outcomes = []
    for batch, jobs in batches.items():
        if batch is None:
            outcomes += [(job.future, _attempt(connection, job)) for job in jobs]
        else:
            outcome = _run_batch(connection, batch, [job.values[0] for job in jobs])
            outcomes += [(job.future, outcome) for job in jobs]
    return outcomes


def _run_batch(connection: sqlite3.Connection, batch: Batch[V, T], values: Sequence[V]) -> T:
    """What each of them came to. Raises _UnevenError where that can't be said of all."""
    outcome = _drive(connection, batch.many(values))
    if outcome is None:
        raise _UnevenError
    return outcome


class _UnevenError(Exception):
    """The works of a batch did not all come to the same: each is to be done alone."""


def _attempt(connection: sqlite3.Connection, job: _Job) -> Any:
    """Run one work; the error of one that has written nothing leaves the others' transaction as it is."""
    before = connection.total_changes
    try:
        return _drive(connection, job.make(*job.values))
    except Exception as error:
        if isinstance(error, sqlite3.Error) or connection.total_changes != before:
            raise
        return error


def _drive(connection: sqlite3.Connection, work: BatchWork[T]) -> T:
    try:
        query, values = next(work)
        while True:
            query, values = work.send(_execute(connection, query, values))
    except StopIteration as end:
        result: T = end.value
        return result


def _execute(connection: sqlite3.Connection, query: Query | Many, values: Any) -> Rows:
    if isinstance(query, Query):
        sql, names = query.sqlite
        return connection.execute(sql, [values[name] for name in names]).fetchall()
    before = connection.total_changes
    for sql, many_values in query.split(values):
        connection.execute(sql, many_values)
    return ((connection.total_changes - before,),)


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_BUSY


def _store_error(error: Exception) -> Exception:
    """An error of the database's as the contract names it, for one future alone."""
    return StoreError(f"SQLite: {error}") if isinstance(error, sqlite3.Error) else error


def _answer(outcomes: _Outcomes) -> None:
    for future, outcome in outcomes:
        if future.done():
            continue  # Its caller was cancelled
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
