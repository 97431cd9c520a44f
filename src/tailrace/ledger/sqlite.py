"""The ledger in one SQLite file. One thread writes, and two read, so that no long report holds up an opening.

A file that is deleted while it is open is written again from what the open connection still holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from asyncio import Future
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import sqlalchemy as sa
import structlog
from sqlalchemy.pool import StaticPool

from tailrace.errors import SettingsError, StoreError
from tailrace.ledger import migrations
from tailrace.ledger.connection import Connection
from tailrace.ledger.database import Batch, Database, P, Query, T, V, Work

BUSY_S: Final = 5.0
"""How long to wait for another process's transaction."""

_WHERE: Final = "TAILRACE_DATA_DIR"

_TOUCH: Final = Query("""-- See that the file can be written.
    UPDATE versions SET number = number WHERE name = 'keys'""")
_CHECKPOINT_PAGES: Final = 1500
"""After about so many the write-ahead log is copied into the file, by a thread that holds up no opening with it."""

_LAST_RESORT_PAGES: Final = 4000
_PAGES_OF_GROUP: Final = 8
_OLDEST: Final = (3, 35, 0)
_SCHEME: Final = "sqlite:///"
_log = structlog.get_logger(__name__)


def database_path(url: str | None, data_dir: Path) -> Path:
    """The file that the settings name. Raises SettingsError for a database in memory."""
    if url is None:
        return data_dir / "tailrace.db"
    name = unquote(url.removeprefix(_SCHEME).partition("?")[0])
    if not url.startswith(_SCHEME) or name in ("", ":memory:"):
        raise SettingsError(
            "must name a file, such as sqlite:////var/lib/tailrace/tailrace.db (four slashes for an absolute path)",
            where="TAILRACE_DATABASE_URL",
        )
    return Path(name)


class SqliteDatabase(Database):
    """The file, and the three connections into it. Where other processes write it too it is `shared`."""

    def __init__(self, path: Path, *, shared: bool = False, busy_s: float = BUSY_S) -> None:
        self._path = path.absolute()
        self._shared = shared
        self._busy_s = busy_s
        self._identity: tuple[int, int] | None = None
        self._pages = 0

    async def open(self) -> None:
        await asyncio.to_thread(migrate, self._path)
        self._identity = self._look()
        read = partial(self._connect, "PRAGMA query_only = ON")
        self._lookups = Connection(read, begin="BEGIN", name="ledger-lookups")
        self._reports = Connection(read, begin="BEGIN", name="ledger-reports")
        write = partial(self._connect, f"PRAGMA wal_autocheckpoint = {_LAST_RESORT_PAGES}")
        self._writer = Connection(write, begin="BEGIN IMMEDIATE", name="ledger-writer", check=self._check)
        try:
            # From here on it holds the file, even if that is deleted.
            await self.write(_touch)
        except StoreError as error:
            await self.close()
            raise SettingsError(f"the database {self._path} can't be written: {error}", where=_WHERE) from error

    async def close(self) -> None:
        for connection in (self._writer, self._lookups, self._reports):
            await connection.close()

    def write(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._writer.submit(partial(make, *args, **kwargs))

    def look_up(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._lookups.submit(partial(make, *args, **kwargs))

    def report(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._reports.submit(partial(make, *args, **kwargs))

    def write_batched(self, batch: Batch[V, T], value: V, *, patient: bool = False) -> Future[T]:
        return self._writer.submit_batched(batch, value, patient=patient)

    # In the threads

    def _connect(self, *pragmas: str) -> sqlite3.Connection:
        # Never creates the file: one that is gone is a fault, and an empty one in its place would hide it.
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=self._busy_s,
            check_same_thread=False,
        )
        for pragma in ("PRAGMA synchronous = NORMAL", "PRAGMA foreign_keys = ON", *pragmas):
            connection.execute(pragma)
        return connection

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _check(self, works: int) -> None:
        """Before each group that is written."""
        self._pages += _PAGES_OF_GROUP + works
        if self._pages > _CHECKPOINT_PAGES:
            self._pages = 0
            self._reports.order("PRAGMA wal_checkpoint(PASSIVE)")
        self._check_file()

    def _check_file(self) -> None:
        """See that the file is still the one that is open: SQLite would go on writing into a deleted one."""
        identity = self._look()
        if identity == self._identity:
            return
        if identity is not None or self._shared or self._writer.connection is None:
            what = "deleted" if identity is None else "replaced"
            raise StoreError(f"SQLite: the file {self._path} was {what} while it was open: restart tailrace")
        self._write_again(self._writer.connection)

    def _write_again(self, open_connection: sqlite3.Connection) -> None:
        """Put a copy of what is still open in the place of the deleted file."""
        copy = self._path.with_name(f"{self._path.name}.copy")
        try:
            copy.unlink(missing_ok=True)
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(copy)
            target = sqlite3.connect(copy)
            open_connection.backup(target)
            target.close()
            self._reopen(copy)
        except OSError as error:
            raise StoreError(
                f"SQLite: the file {self._path} was deleted and can't be written again: {error}"
            ) from error
        _log.error("database_file_was_deleted", path=str(self._path), restored=True)

    def _reopen(self, copy: Path) -> None:
        # All old connections first: the last one to close deletes the write-ahead log by its name.
        for connection in (self._lookups, self._reports):
            connection.disconnect()
        self._writer.drop()
        for ending in ("-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        copy.rename(self._path)
        self._identity = self._look()


def _touch() -> Work[None]:
    """Change nothing, but by writing: a transaction alone can begin in a file that can't be written."""
    yield _TOUCH, {}


def migrate(path: Path) -> None:
    """Make the folder and the file if need be, and bring the tables to the newest form. Raises SettingsError."""
    if sqlite3.sqlite_version_info < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise SettingsError(
            f"this Python's SQLite is {sqlite3.sqlite_version}; the embedded database needs {oldest}",
            where="TAILRACE_DATABASE_URL",
        )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)) as connection:
            _migrate(connection)
    except (OSError, sqlite3.Error, sa.exc.DBAPIError) as error:
        reason = getattr(error, "orig", None) or error
        raise SettingsError(f"the database {path} can't be opened: {reason}", where=_WHERE) from error


def _create(path: Path) -> None:
    """Make the file, for nobody else's eyes. One that is there is left alone: to close it would end SQLite's locks."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    if migrations.is_current(_revision(connection), where=_WHERE):
        return
    engine = sa.create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as migrating:
        # One who waited for another's migration finds nothing left to do: Alembic looks only now.
        migrating.exec_driver_sql("BEGIN IMMEDIATE")
        migrations.upgrade(migrating)
        migrating.commit()


def _revision(connection: sqlite3.Connection) -> str | None:
    tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    found = connection.execute(migrations.FIND_REVISION.sqlite[0]).fetchone() if tables else None
    return None if found is None else str(found[0])
