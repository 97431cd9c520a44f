"""The databases that servers of the system tests keep their ledger in, in the hand of the test."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
from tests.ledger.installation import PostgresInstallation
from tests.system.books import Row, read_rows

from tailrace.settings import Settings


class Store(ABC):
    """One database. A server that is started again is given the same `name`, one beside it another."""

    settings: Settings

    @abstractmethod
    def env(self, name: str = "server") -> dict[str, str]:
        """What points a server at it."""

    @abstractmethod
    def held(self) -> AbstractAsyncContextManager[None]:
        """Nobody can write to it meanwhile; who tries waits."""

    async def rows(self) -> list[Row]:
        """All rows, newest first, read beside whoever serves."""
        return await read_rows(self.settings)


class SqliteStore(Store):
    """A data folder, from which one server serves."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder)
        self.path = folder / "tailrace.db"

    def env(self, name: str = "server") -> dict[str, str]:
        return {"TAILRACE_DATA_DIR": str(self.path.parent)}

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.close()


class PostgresStore(Store):
    """A database on a server, from which any number may serve."""

    def __init__(self, installation: PostgresInstallation) -> None:
        self.settings = installation.settings
        self.database = installation.name
        self.url = installation.server.url(installation.name)

    def env(self, name: str = "server") -> dict[str, str]:
        return {"TAILRACE_DATABASE_URL": self.url, "TAILRACE_DATA_DIR": str(self.settings.data_dir / name)}

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE generations IN EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()
