"""Where the ledger's SQL meets a database.

What the ledger does is written once, as *work*: a generator that yields queries and is sent their rows. Each database
drives it in its own way: SQLite in a thread, a group of works to a transaction; PostgreSQL on the event loop, a
transaction to a work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import Future
from bisect import bisect_left
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain, compress, repeat
from typing import Any, Final, Generic, ParamSpec, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")

_SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""So many rows a statement has room for: few enough to keep all of them prepared."""


class Query:
    """One statement, readable as SQL, with its purpose in its first line and its parameters as `:name`.

    It is compiled once for each database.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql

    @cached_property
    def sqlite(self) -> tuple[str, tuple[str, ...]]:
        """As SQLite reads it, and the names of its parameters in order: by name its driver binds half as fast."""
        compiled = sa.text(self.sql).compile(dialect=sqlite.dialect(paramstyle="qmark"))
        return str(compiled), tuple(getattr(compiled, "positiontup", None) or ())

    @cached_property
    def postgres(self) -> tuple[str, tuple[str, ...]]:
        """As PostgreSQL reads it, and the names of its parameters in order."""
        compiled = sa.text(self.sql).compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
        return str(compiled), tuple(compiled.positiontup or ())


def read_names(columns: str) -> tuple[str, ...]:
    """The names in a list of columns, as a statement has it."""
    return tuple(name.strip() for name in columns.split(","))


class Many:
    """One statement for any number of rows, which stand where it says `{rows}`, as SQLite reads it.

    With each statement SQLite's driver lets go of the interpreter, and must wait to have it back. A statement may be
    given some rows of zeros besides: it shall pass them over.
    """

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._of = lru_cache(maxsize=64)(self._write)

    def split(self, rows: Rows) -> Generator[tuple[str, list[Any]]]:
        """Statements that do it all, each with its values."""
        for place in range(0, len(rows), _SIZES[-1]):
            part = rows[place : place + _SIZES[-1]]
            size = _SIZES[bisect_left(_SIZES, len(part))]
            # To bind a None takes the driver ten times as long as a number: what is null in all rows is said so instead
            given = tuple([column.count(None) < len(part) for column in zip(*part, strict=True)])
            values = list(chain.from_iterable(map(compress, part, repeat(given))))
            values += [0] * (given.count(True) * (size - len(part)))
            yield self._of(size, given), values

    def _write(self, size: int, given: Sequence[bool]) -> str:
        row = f"({', '.join('?' if one else 'NULL' for one in given)})"
        return self._sql.format(rows=", ".join([row] * size))


Rows: TypeAlias = Sequence[Sequence[Any]]
Step: TypeAlias = tuple[Query, Mapping[str, Any]]
Work: TypeAlias = Generator[Step, Rows, T]
"""Yields a query and its parameters, is sent its rows, and returns what came of it.

It may be run again from the start, so it changes nothing but the database. A RequestError that it raises undoes all
that it wrote; work that can know a refusal before it writes raises it then, which costs its neighbours nothing.
"""

BatchWork: TypeAlias = Generator[Step | tuple[Many, Rows], Rows, T]
"""Work that also yields a statement for many with its rows, and is sent one number then: how many rows it changed."""


class Batch(Generic[V, T]):
    """Works of one kind, each with one value, that a database may make one of.

    `one` is the work for one value. `many` does several at once and returns what each of them has come to, or None
    where that is not to be said of all: then nothing of it is kept, and each is done by `one`.
    """

    def __init__(self, one: Callable[[V], Work[T]], many: Callable[[Sequence[V]], BatchWork[T | None]]) -> None:
        self.one = one
        self.many = many


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

    def write_batched(self, batch: Batch[V, T], value: V, *, patient: bool = False) -> Future[T]:
        """Run `batch.one(value)` like `write`, or many of them as one; `patient` ones may wait some ms for others."""
        return self.write(batch.one, value)

    @abstractmethod
    def look_up(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `make(…)`, which only reads, and only a few rows; no long report holds it up."""

    @abstractmethod
    def report(self, make: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `make(…)`, which only reads, and may take its time."""
