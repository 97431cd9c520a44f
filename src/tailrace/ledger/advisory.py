"""Who lives, on PostgreSQL: a session advisory lock for each process, held by a connection of its own.

A lock is free as soon as its connection is gone, which may happen to a process that lives: the network broke, or
PostgreSQL was started anew. So a lock counts as free only when it was found so twice, some seconds apart; within that
time a living process has connected again. It then takes a new name for its new rows, for the server may not have
noticed yet that the old connection is gone, and takes the locks of its older names back as soon as they are free, so
that nobody sweeps their rows. Should another have been faster, `settle` finds the row's owner changed, and `lost` says
so even before.

The locks need a connection to the server itself: a pooler between that shares connections would share the locks too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from typing import Any, Final, TypeAlias

import structlog

from tailrace.errors import StoreError
from tailrace.ledger.locks import Owners, new_owner
from tailrace.ledger.postgres import DOWN

GRACE_S: Final = 3.0
"""How long a lock must have been free before its process counts as dead."""

_RETRY_S: Final = 0.25
_PATIENCE_S: Final = 2.0
_TIMEOUT_S: Final = 5.0

Connect: TypeAlias = Callable[[], Awaitable[Any]]

_log = structlog.get_logger(__name__)


class AdvisoryOwners(Owners):
    """The names of this process, and the connection that holds their locks."""

    def __init__(self, connect: Connect) -> None:
        # For its whole life
        self._connect = connect
        self._one_at_a_time = asyncio.Lock()
        # For each connection
        self._connection: Any = None
        self._locked: set[str] = set()
        self._held = asyncio.Event()
        # As it goes
        self._name = ""
        self._names: set[str] = set()
        self._free_since: dict[str, float] = {}
        self._retaking: asyncio.Task[None] | None = None
        self._released = False

    async def take(self) -> None:
        try:
            await self._lock_new_name()
        except DOWN as error:
            raise StoreError(f"PostgreSQL: {error}") from error

    async def current(self) -> str:
        if not self._held.is_set():
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._held.wait()
            except TimeoutError:
                raise StoreError("PostgreSQL: this process's lock is lost and could not be taken again yet") from None
        return self._name

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._names)

    async def renew(self, in_use: Collection[str]) -> None:
        self._names &= {self._name, *in_use}
        try:
            for name in sorted(self._names - self._locked):
                if await self._ask("SELECT pg_try_advisory_lock($1)", name):
                    self._locked.add(name)
            # A connection that broke without a word is noticed only by using it.
            await self._ask("SELECT $1::bigint IS NOT NULL", self._name)
        except StoreError:
            if self._connection is not None:
                self._connection.terminate()

    @contextlib.asynccontextmanager
    async def claim(self, owner: str) -> AsyncGenerator[bool, None]:
        # Shared, so that many who look at once don't take each other for the owner.
        if not await self._ask("SELECT pg_try_advisory_lock_shared($1)", owner):
            self._free_since.pop(owner, None)
            yield False
            return
        now = asyncio.get_running_loop().time()
        dead = now - self._free_since.setdefault(owner, now) >= GRACE_S
        try:
            yield dead
        finally:
            with contextlib.suppress(StoreError):  # Without the connection there is no lock either.
                await self._ask("SELECT pg_advisory_unlock_shared($1)", owner)
        if dead:
            self._free_since.pop(owner, None)

    async def release(self) -> None:
        self._released = True
        if self._retaking is not None:
            self._retaking.cancel()
            await asyncio.wait((self._retaking,))
        if self._connection is not None:
            with contextlib.suppress(*DOWN):
                await self._connection.close(timeout=_TIMEOUT_S)

    async def _lock_new_name(self) -> None:
        connection = await self._connect()
        name = new_owner()
        try:
            await connection.fetchval("SELECT pg_advisory_lock($1)", _number(name), timeout=_TIMEOUT_S)
        except BaseException:
            connection.terminate()
            raise
        connection.add_termination_listener(self._lost)
        self._connection, self._name, self._locked = connection, name, {name}
        self._names.add(name)
        # What was free while our own connection was gone says nothing.
        self._free_since.clear()
        self._held.set()

    async def _ask(self, sql: str, owner: str) -> Any:
        async with self._one_at_a_time:
            if self._connection is None:
                raise StoreError("PostgreSQL: this process's lock is lost and could not be taken again yet")
            try:
                return await self._connection.fetchval(sql, _number(owner), timeout=_TIMEOUT_S)
            except DOWN as error:
                raise StoreError(f"PostgreSQL: {error}") from error

    def _lost(self, connection: object) -> None:
        """The connection has ended, and its locks with it."""
        if self._released or connection is not self._connection:
            return
        _log.warning("ledger_lock_lost", owner=self._name)
        self._connection = None
        self._locked = set()
        self._held.clear()
        self._retaking = asyncio.create_task(self._retake(), name="ledger-lock")

    async def _retake(self) -> None:
        while True:
            try:
                await self._lock_new_name()
            except DOWN:
                await asyncio.sleep(_RETRY_S)
            else:
                break
        _log.warning("ledger_lock_taken_again", owner=self._name)
        await self.renew(self._names)


def _number(owner: str) -> int:
    """The lock's number: the digits of the owner's name, as a signed bigint."""
    number = int(owner.rpartition("_")[2], 16)
    return number - (1 << 64) if number >> 63 else number
