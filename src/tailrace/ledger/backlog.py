"""Settles later what could not be settled: while the database is down it waits in the spool, and is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from tailrace.errors import StoreError
from tailrace.ledger import settlements
from tailrace.ledger.base import Settlement
from tailrace.ledger.database import Database
from tailrace.ledger.spool import Spool, Spooled

_RETRY_S: Final = 1.0
_AT_ONCE: Final = 64

_log = structlog.get_logger(__name__)


class Backlog:
    """What waits to be settled, and the task that tries again each second while anything does."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database = database
        self._spool = spool
        self._settling = asyncio.Lock()
        self._retrying: asyncio.Task[None] | None = None
        self._closed = False

    def __contains__(self, generation_id: str) -> bool:
        return generation_id in self._spool

    @property
    def owners(self) -> set[str]:
        """The names that the rows of what waits bear."""
        return {spooled.owner for spooled in self._spool.waiting}

    def add(self, settlement: Settlement, owner: str) -> None:
        """Let it wait. It is on disk when `written` returns."""
        self._spool.add(Spooled(owner=owner, settlement=settlement))
        self._keep_retrying()

    async def written(self) -> None:
        """Wait until all that was added is on disk, or has failed to get there."""
        await self._spool.written()

    async def adopt(self) -> None:
        """Take over what dead processes left in their spools, and settle all that waits."""
        await self._spool.adopt()
        await self.settle()

    async def settle(self) -> None:
        """Settle what waits, as far as the database answers."""
        async with self._settling:
            waiting = self._spool.waiting
            for place in range(0, len(waiting), _AT_ONCE):
                if not await self._settle(waiting[place : place + _AT_ONCE]):
                    self._keep_retrying()
                    return

    async def close(self) -> None:
        """Try once more; what still waits stays on disk."""
        self._closed = True
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.wait((self._retrying,))
        await self.settle()
        await self._spool.close()

    async def _settle(self, group: Sequence[Spooled]) -> bool:
        """Whether the database took them all."""
        tries = [self._database.write(settlements.settle, one.settlement, one.owner) for one in group]
        settled = await asyncio.gather(*tries, return_exceptions=True)
        for one, done in zip(group, settled, strict=True):
            if isinstance(done, bool):
                await self._finish(one, done)
            elif not isinstance(done, StoreError):
                _log.error("spooled_settlement_not_written", generation=one.settlement.id, error=repr(done))
        return all(isinstance(done, bool) for done in settled)

    async def _finish(self, spooled: Spooled, done: bool) -> None:
        if not done:
            # Its first try did arrive after all, or another process has taken the row over.
            _log.info("spooled_settlement_was_settled", generation=spooled.settlement.id)
        await self._spool.settled(spooled.settlement.id)

    def _keep_retrying(self) -> None:
        if not self._closed and (self._retrying is None or self._retrying.done()):
            self._retrying = asyncio.create_task(self._retry(), name="ledger-retry")

    async def _retry(self) -> None:
        while self._spool.waiting:
            await asyncio.sleep(_RETRY_S)
            self._spool.write()
            await self.settle()
