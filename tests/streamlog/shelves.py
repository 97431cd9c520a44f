"""What a process has of logs, memory and store together, and what is left of it when it dies."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tailrace.events import Event
from tailrace.streamlog import Face, LogStore, Mark, MemoryStore, Ring, RingLog
from tailrace.streamlog.sqlite import SqliteStore


class Shelf(ABC):
    """One process after the other on the same store. `now` is the time of their clock, in seconds.

    `lasts`: logs outlive the memory of the process, and the process. They are kept for `KEEP_S`.
    """

    KEEP_S = 1000.0
    lasts = True

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.ring = Ring()
        self.store = self._make()

    @abstractmethod
    def _make(self) -> LogStore:
        """The store of a new process."""

    async def open(self) -> None:
        """A process begins."""
        self.ring = Ring()
        self.store = self._make()
        await self.store.open()

    async def close(self) -> None:
        """It ends in good order."""
        await self.store.close()

    @abstractmethod
    async def die(self) -> None:
        """It ends as by `kill -9`: nothing more is written."""

    async def crash(self) -> None:
        """It dies, and the next one begins."""
        await self.die()
        await self.open()

    def create(
        self,
        log_id: str,
        *events: Event,
        owner: str = "ann",
        dialect: str = "delta",
        session_id: str | None = None,
        chat_id: str | None = None,
    ) -> RingLog:
        """A log that this process writes, with its first events."""
        log = self.ring.create(log_id, owner=owner, dialect=dialect, session_id=session_id, chat_id=chat_id)
        log.created_at = self.now
        self.store.keep(log)
        if events:
            log.append(events)
        return log

    @abstractmethod
    async def prune(self) -> None:
        """The store lets go of what is too old."""

    async def forget(self) -> None:
        """All is written, and memory lets go of it."""
        await self.store.flush()
        self.ring = Ring()

    async def find(self, log_id: str) -> RingLog | None:
        """A log from memory, else from the store."""
        return self.ring.get(log_id) or await self.store.find(log_id)

    async def list(
        self, owner: str | None = "ann", *, limit: int = 100, after: Mark | None = None, chat_id: str | None = None
    ) -> Sequence[Face]:
        """What the store lists."""
        return await self.store.list(owner, limit=limit, after=after, chat_id=chat_id)


class MemoryShelf(Shelf):
    """The ring alone."""

    lasts = False

    def _make(self) -> LogStore:
        return MemoryStore()

    async def die(self) -> None:
        """Memory ends with its process."""

    async def prune(self) -> None:
        """Nothing is kept."""


class SqliteShelf(Shelf):
    """A file."""

    def __init__(self, folder: Path, *, keep_size: int = 2**30) -> None:
        self.path = folder / "streams.db"
        self.keep_size = keep_size
        self.outcomes: list[str] = []
        super().__init__()

    def _make(self) -> MortalStore:
        return MortalStore(
            self.path,
            keep_s=self.KEEP_S,
            keep_size=self.keep_size,
            on_flush=lambda _, outcome: self.outcomes.append(outcome),
            clock=lambda: self.now,
        )

    @property
    def sqlite(self) -> MortalStore:
        """The store as what it is."""
        assert isinstance(self.store, MortalStore)
        return self.store

    async def die(self) -> None:
        await self.sqlite.die()

    async def prune(self) -> None:
        await self.sqlite.prune()


class MortalStore(SqliteStore):
    """A store whose process can die while the test lives on."""

    async def die(self) -> None:
        """Write nothing more, and let go of the file as the system would."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._run(self._file.close)
        self._thread.shutdown()

    async def used_bytes(self) -> int:
        """How much of the file is in use."""
        return await self._run(self._file.used_bytes)

    async def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Do something behind the store's back."""
        return await self._run(lambda: self._file._connected().execute(statement).fetchall())
