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

from tailrace.errors import StoreError
from tailrace.ledger.database import Work

T = TypeVar("T")

LARGEST_GROUP: Final = 256

_HURRIED_MS: Final = 50
_PRIMARY_CODE: Final = 0xFF  # the rest says more exactly what kind of it

_Job: TypeAlias = tuple[Callable[[], Work[Any]], "Future[Any]"]


class Connection:
    """Runs work for futures. `connect` is called in the thread, for the first group and after `disconnect`.

    `check` is called before each group; what it raises goes to all the group's futures.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        begin: str,
        name: str,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        # For its whole life
        self._connect = connect
        self._begin = begin
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[_Job | Callable[[], None]] = queue.SimpleQueue()
        self._ended: Future[None] = self._loop.create_future()
        self._closed = False
        # The thread's own
        self.connection: sqlite3.Connection | None = None
        self._patience_ms: int | None = None
        self._running = True
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, make: Callable[[], Work[T]]) -> Future[T]:
        """Run `make()` in one of the next transactions."""
        future: Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(StoreError("SQLite: the ledger is closed"))
        else:
            self._waiting.put((make, future))
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
        self._waiting.put(self._stop)
        await self._ended

    # In the thread

    def _run(self) -> None:
        while self._running:
            group, after = self._next_group()
            if group:
                self._answer(group, self._run_group([make for make, _ in group]))
            if after is not None:
                after()
        self.drop()
        with contextlib.suppress(RuntimeError):  # The loop was closed and nobody waits.
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    def _next_group(self) -> tuple[list[_Job], Callable[[], None] | None]:
        """All jobs that wait, up to the first order; and that."""
        item = self._waiting.get()
        group: list[_Job] = []
        while not callable(item):
            group.append(item)
            if len(group) == LARGEST_GROUP or self._waiting.empty():
                return group, None
            item = self._waiting.get()
        return group, item

    def _run_group(self, makes: Sequence[Callable[[], Work[Any]]]) -> list[Any]:
        """What each came to: a result or an error. One that spoils the transaction has it run again, each alone."""
        try:
            self._check()
            connection = self._connected()
            connection.execute(self._begin)
        except Exception as error:
            self._lose_patience(error)
            return [_store_error(error) for _ in makes]
        self._regain_patience(connection)
        try:
            outcomes = [_attempt(connection, make) for make in makes]
            connection.execute("COMMIT")
        except Exception as error:
            self._roll_back(connection)
            if len(makes) == 1:
                return [_store_error(error)]
            return [self._run_group([make])[0] for make in makes]
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

    def _answer(self, group: Sequence[_Job], outcomes: Sequence[Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(_answer, [future for _, future in group], outcomes)
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


def _attempt(connection: sqlite3.Connection, make: Callable[[], Work[Any]]) -> Any:
    """Run one work; the error of one that has written nothing leaves the others' transaction as it is."""
    before = connection.total_changes
    try:
        return _drive(connection, make())
    except Exception as error:
        if isinstance(error, sqlite3.Error) or connection.total_changes != before:
            raise
        return error


def _drive(connection: sqlite3.Connection, work: Work[T]) -> T:
    try:
        query, values = next(work)
        while True:
            query, values = work.send(connection.execute(query.sqlite, values).fetchall())
    except StopIteration as end:
        result: T = end.value
        return result


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_BUSY


def _store_error(error: Exception) -> Exception:
    """An error of the database's as the contract names it, for one future alone."""
    return StoreError(f"SQLite: {error}") if isinstance(error, sqlite3.Error) else error


def _answer(futures: Sequence[Future[Any]], outcomes: Sequence[Any]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():
            continue  # Its caller was cancelled
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
