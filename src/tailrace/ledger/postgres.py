"""The ledger on PostgreSQL, through a pool of connections: each work is a transaction of its own.

Works are not grouped here as they are on SQLite: PostgreSQL groups the commits of concurrent connections itself, and
two processes' groups, each with the locks of many keys, would wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from asyncio import Future
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.ext.asyncio import create_async_engine

from tailrace.errors import SettingsError, StoreError
from tailrace.ledger import migrations
from tailrace.ledger.database import Database, P, Query, T, Work
from tailrace.ledger.dsn import WHERE, Dsn, read_dsn

DOWN: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What is raised where PostgreSQL does not answer, or not as it should; OSError holds TimeoutError."""

_CONNECTIONS: Final = 10
_REPORTS: Final = 2
_ANSWER_S: Final = 10.0
_CLOSE_S: Final = 5.0
_TRIALS: Final = 5
_TRY_AGAIN: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,
)
_MIGRATING: Final = 0x7461696C72616365
"""The number of the lock under which one process migrates at a time."""

_FIND_VERSIONS: Final = Query("""-- Whether the table of revisions is there.
    SELECT to_regclass('alembic_version') IS NOT NULL""")


class PostgresDatabase(Database):
    """A pool, which opens connections as they are needed and replaces those that broke."""

    def __init__(self, url: str, *, answer_s: float = _ANSWER_S) -> None:
        self._dsn = read_dsn(url)
        self._answer_s = answer_s
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reports = asyncio.Semaphore(_REPORTS)

    async def open(self) -> None:
        """Raises SettingsError where the schema is not this version's, and says what to run."""
        # It keeps no idle connection at any price: what it logs while the server is down is ours to say.
        self._pool = asyncpg.create_pool(
            self._dsn.url,
            min_size=0,
            max_size=_CONNECTIONS,
            timeout=self._dsn.connect_s,
            command_timeout=self._answer_s,
            init=_prepare,
            reset=_leave_as_it_is,
        )
        try:
            await self._pool
            _check_schema(await self._run_once(_revision, transaction=False))
        except (*DOWN, ValueError) as error:
            self._pool.terminate()
            raise SettingsError(f"PostgreSQL can't be used: {_reason(error)}", where=WHERE) from error
        except SettingsError:
            self._pool.terminate()
            raise

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._pool.close()
        except DOWN:
            self._pool.terminate()

    def write(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._start(self._run(partial(make, *args, **kwargs), transaction=True))

    def look_up(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._start(self._run(partial(make, *args, **kwargs), transaction=False))

    def report(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._start(self._report(partial(make, *args, **kwargs)))

    async def connect(self) -> Any:
        """A connection of one's own, outside the pool."""
        return await _connect(self._dsn)

    def _start(self, run: Coroutine[Any, Any, T]) -> Future[T]:
        task = asyncio.create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Whoever stops waiting does not stop the work.
        return asyncio.shield(task)

    async def _report(self, make: Callable[[], Work[T]]) -> T:
        async with self._reports:
            return await self._run(make, transaction=False)

    async def _run(self, make: Callable[[], Work[T]], *, transaction: bool) -> T:
        try:
            for _ in range(_TRIALS - 1):
                with contextlib.suppress(*_TRY_AGAIN):
                    return await self._run_once(make, transaction=transaction)
                await asyncio.sleep(random.uniform(0, 0.05))
            return await self._run_once(make, transaction=transaction)
        except DOWN as error:
            raise StoreError(f"PostgreSQL: {_reason(error)}") from error

    async def _run_once(self, make: Callable[[], Work[T]], *, transaction: bool) -> T:
        async with self._pool.acquire(timeout=self._answer_s) as connection:
            if not transaction:
                return await _drive(connection, make())
            async with connection.transaction():
                return await _drive(connection, make())


async def upgrade(url: str) -> None:
    """Bring the tables to the newest form. Raises SettingsError where that is not possible."""
    dsn = read_dsn(url)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=partial(_connect, dsn))
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
            await connection.run_sync(migrations.upgrade)
    except (*DOWN, ValueError) as error:
        raise SettingsError(f"PostgreSQL can't be used: {_reason(error)}", where=WHERE) from error
    finally:
        await engine.dispose()


async def _drive(connection: Any, work: Work[T]) -> T:
    try:
        query, values = next(work)
        while True:
            sql, names = query.postgres
            rows = await connection.fetch(sql, *[values[name] for name in names])
            query, values = work.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


def _revision() -> Work[str | None]:
    tables = yield _FIND_VERSIONS, {}
    found = (yield migrations.FIND_REVISION, {}) if tables[0][0] else []
    return found[0][0] if found else None


def _check_schema(revision: str | None) -> None:
    if not migrations.is_current(revision, where=WHERE):
        has = "has no tables yet" if revision is None else f"has an old schema ({revision})"
        raise SettingsError(f"the database {has}: run `tailrace db upgrade`", where=WHERE)


def _reason(error: Exception) -> str:
    """In one line; some errors of the network have no text."""
    return str(error).partition("\n")[0] or type(error).__name__


async def _connect(dsn: Dsn) -> Any:
    return await asyncpg.connect(dsn.url, timeout=dsn.connect_s)


async def _prepare(connection: Any) -> None:
    """A process that stops in the middle of a transaction shall not hold up the others."""
    await connection.execute("SET idle_in_transaction_session_timeout = '10s'")


async def _leave_as_it_is(connection: Any) -> None:
    """Nothing in a session is changed here, so it needs no query that resets it."""
