"""A database that ledgers are opened on, as the processes of one installation would."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from tests.postgres import PostgresServer

from tailrace.ledger import Ledger, create_ledger, upgrade_database
from tailrace.settings import SecretUrl, Settings

_TEMPLATE: Final = "template_tailrace"


class Installation(ABC):
    """One database; every ledger that it opens is closed with it."""

    settings: Settings

    def __init__(self) -> None:
        self._opened: list[Ledger] = []

    @abstractmethod
    async def prepare(self) -> None:
        """Make the database."""

    async def open(self) -> Ledger:
        """The ledger of one more process."""
        ledger = create_ledger(self.settings)
        await ledger.open()
        self._opened.append(ledger)
        return ledger

    async def close_ledger(self, ledger: Ledger) -> None:
        """Close one before the others."""
        self._opened.remove(ledger)
        await ledger.close()

    async def close(self) -> None:
        """Close all ledgers."""
        for ledger in self._opened:
            await ledger.close()


class SqliteInstallation(Installation):
    """A file. `alone`: one process serves from it; else several, which then share their streams through Redis."""

    def __init__(self, folder: Path, *, alone: bool = False) -> None:
        super().__init__()
        redis = None if alone else SecretUrl("redis://127.0.0.1:1")
        self.settings = Settings(data_dir=folder / "data", redis_url=redis)
        self.path = folder / "data" / "tailrace.db"

    async def prepare(self) -> None:
        await upgrade_database(self.settings)


class PostgresInstallation(Installation):
    """A database of its own on a server."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        super().__init__()
        self.server = server
        self.name = f"test_{secrets.token_hex(4)}"
        self._folder = folder
        self.settings = self._settings(self.name)

    async def prepare(self) -> None:
        """Copy a database that was migrated once."""
        if not self.server.has(_TEMPLATE):
            await self.server.create(_TEMPLATE)
            await upgrade_database(self._settings(_TEMPLATE))
        await self.server.create(self.name, template=_TEMPLATE)

    def _settings(self, database: str) -> Settings:
        return Settings(data_dir=self._folder / "data", database_url=SecretUrl(self.server.url(database)))
