"""Where the ledger's SQL meets a database.

What the ledger does is written once, as *work*: a generator that yields queries and is sent their rows. Each database
drives it in its own way: SQLite in a thread, a group of works to a transaction; PostgreSQL on the event loop, a
transaction to a work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import Future
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cached_property
from typing import Any, ParamSpec, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg

P = ParamSpec("P")
T = TypeVar("T")


class Query:
    """One statement, readable as SQL, with its purpose in its first line and its parameters as `:name`.

    It is compiled once for each database.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql

    @cached_property
    def sqlite(self) -> str:
        """As SQLite reads it, with named parameters."""
        return str(sa.text(self.sql).compile(dialect=sqlite.dialect(paramstyle="named")))

    @cached_property
    def postgres(self) -> tuple[str, tuple[str, ...]]:
        """As PostgreSQL reads it, and the names of its parameters in order."""
        compiled = sa.text(self.sql).compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
        return str(compiled), tuple(compiled.positiontup or ())


Rows: TypeAlias = Sequence[Sequence[Any]]
Step: TypeAlias = tuple[Query, Mapping[str, Any]]
Work: TypeAlias = Generator[Step, Rows, T]
"""Yields a query and its parameters, is sent its rows, and returns what came of it.

It may be run again from the start, so it changes nothing but the database. A RequestError that it raises undoes all
that it wrote; work that can know a refusal before it writes raises it then, which costs its neighbours nothing.
"""


class Database(ABC):
    """One database, as a process uses it. Its methods are called on the event loop that ran `open`.

    The futures raise what the work raises, and StoreError where the database does not answer. A work goes on when
    nobody waits for its future any more.
    """

    @abstractmethod
    async def open(self) -> None:
        """Connect; raise SettingsError where that is not possible, or the schema is not the one that is needed."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun, and disconnect."""

    @abstractmethod
    def write(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `make(…)` in a transaction: all of it is committed when the future is done, or nothing."""

    @abstractmethod
    def look_up(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `make(…)`, which only reads, and only a few rows; no long report holds it up."""

    @abstractmethod
    def report(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `make(…)`, which only reads, and may take its time."""
