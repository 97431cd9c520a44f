"""The tables of a SQLite file of logs, and a connection that has the file to itself."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

_VERSION: Final = 1
_BUSY_S: Final = 0.5

_SCHEMA: Final = (
    """CREATE TABLE logs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
        dialect TEXT NOT NULL, session_id TEXT, chat_id TEXT, created_at REAL NOT NULL, since INTEGER NOT NULL,
        tail INTEGER NOT NULL DEFAULT 0, start_run INTEGER, last_run INTEGER, ended_at REAL,
        torn INTEGER NOT NULL DEFAULT 0)""",
    "CREATE INDEX logs_by_owner ON logs (owner, created_at, id)",
    "CREATE INDEX logs_by_time ON logs (created_at, id)",
    "CREATE INDEX logs_by_end ON logs (ended_at)",
    """CREATE TABLE runs (number INTEGER PRIMARY KEY, log INTEGER NOT NULL, tail INTEGER NOT NULL, previous INTEGER,
        events BLOB NOT NULL)""",
)
_CLEAR: Final = ("DROP TABLE IF EXISTS logs", "DROP TABLE IF EXISTS runs")


def connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Take the file, with its tables, and say whether they had to be made. Raises sqlite3.Error and OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # for nobody else's eyes
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
    try:
        # Exclusive: the system frees the file when the process dies, so whoever gets it finds only logs of the dead.
        # Large pages: a group is written in few, and what passes through brings many bytes a token.
        for pragma in (
            "page_size = 16384",
            "locking_mode = EXCLUSIVE",
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        for pragma in ("synchronous = NORMAL", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        is_new = _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection, is_new


def _prepare(connection: sqlite3.Connection) -> bool:
    """Make the tables if need be; those of another version go, for streams are short-lived."""
    connection.execute("BEGIN EXCLUSIVE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        for statement in (*_CLEAR, *_SCHEMA, f"PRAGMA user_version = {_VERSION}"):
            connection.execute(statement)
    connection.execute("COMMIT")
    return bool(version != _VERSION)
