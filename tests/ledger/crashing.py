"""Processes of one SQLite installation that live in the test's own process, so that they can crash in no time."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tailrace.ledger.locks import FileOwners
from tailrace.ledger.spool import Spool
from tailrace.ledger.sql import SqlLedger
from tailrace.ledger.sqlite import SqliteDatabase


class CrashingProcess:
    """A ledger with its parts, so that the parts can fail one by one."""

    def __init__(self, folder: Path, *, alone: bool, clock: Callable[[], float]) -> None:
        path = folder / "tailrace.db"
        self.database = SqliteDatabase(path, shared=not alone, busy_s=0.05)
        self.owners = FileOwners(path, shared=not alone)
        self.spool = Spool(folder / "spool", secrets.token_hex(8))
        self.ledger = SqlLedger(self.database, owners=self.owners, spool=self.spool, clock=clock)

    def execute(self, sql: str) -> list[Any]:
        """Run a statement on the connection that writes, past the ledger."""
        connection = self.database._writer.connection
        assert connection is not None
        return connection.execute(sql).fetchall()

    async def crash(self) -> None:
        """End without a word: the system closes its files and frees its locks."""
        for task in asyncio.all_tasks():
            if task.get_name() == "ledger-retry":
                task.cancel()
        await self.spool.close()
        await self.database.close()
        await self.owners.release()


class Crashing:
    """The installation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        self.path = self.folder / "tailrace.db"
        self._living: list[CrashingProcess] = []

    async def start(self, *, alone: bool = False, clock: Callable[[], float] = time.time) -> CrashingProcess:
        """Start a process."""
        process = CrashingProcess(self.folder, alone=alone, clock=clock)
        await process.ledger.open()
        self._living.append(process)
        return process

    async def crash(self, process: CrashingProcess) -> None:
        """Crash one."""
        self._living.remove(process)
        await process.crash()

    async def stop(self, process: CrashingProcess) -> None:
        """End one in order."""
        self._living.remove(process)
        await process.ledger.close()

    async def close(self) -> None:
        """End all in order."""
        for process in list(self._living):
            await self.stop(process)
