"""Seals what a worker left behind whose lease ran out: its readers are told, and it can't write there again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from tailrace.streamlog.redis import names
from tailrace.streamlog.redis.line import Line, call
from tailrace.streamlog.redis.reading import Reading, events_of
from tailrace.streamlog.redis.records import Found, encode
from tailrace.streamlog.redis.scripts import DONE, TAKE_OVER
from tailrace.streamlog.redis.writing import Terms
from tailrace.streamlog.store import ending_of_torn

_TRIALS: Final = 8

_log = structlog.get_logger(__name__)


class Takeover:
    """Takes logs over. `on_taken` is told of each; its row is to be settled too.

    Methods raise StoreError where Redis does not answer.
    """

    def __init__(
        self, line: Line, reading: Reading, terms: Terms, *, lease_s: float, on_taken: Callable[[str], None]
    ) -> None:
        self._line = line
        self._reading = reading
        self._terms = terms
        self._lease_s = lease_s
        self._on_taken = on_taken
        self._not_before = float("-inf")

    def wait_a_lease(self) -> None:
        """Redis was away from us, and so perhaps from others: they get the time of a lease to come back."""
        self._not_before = asyncio.get_running_loop().time() + self._lease_s

    @property
    def _may_be_judged(self) -> bool:
        return asyncio.get_running_loop().time() >= self._not_before

    async def is_due(self, worker: str) -> bool:
        """Whether a worker is held to be dead."""
        if not self._may_be_judged:
            return False
        (lives,) = await self._line.ask((b"EXISTS", names.lease_key(worker)))
        return not lives

    async def sweep(self) -> None:
        """Take over all that dead workers left behind."""
        if not self._may_be_judged:
            return
        (workers,) = await self._line.ask((b"SMEMBERS", names.WORKERS))
        for worker in (member.decode() for member in workers):
            if worker != self._terms.worker and await self.is_due(worker):
                await self._bury(worker)

    async def _bury(self, worker: str) -> None:
        running = names.running_key(worker)
        (ids,) = await self._line.ask((b"SMEMBERS", running))
        for log_id in ids:
            await self.take_over(log_id.decode())
        await self._line.ask((b"DEL", running), (b"SREM", names.WORKERS, worker))
        _log.warning("worker_gone", worker=worker, streams=len(ids))

    async def take_over(self, log_id: str) -> None:
        """Seal one log as torn, unless it has ended or is not there: what it holds is read first."""
        for _ in range(_TRIALS):
            found = await self._reading.find(log_id)
            if found is None or found.ended_at is not None:
                return
            if await self._seal(log_id, found):
                self._on_taken(log_id)
                return

    async def _seal(self, log_id: str, found: Found) -> bool:
        """Whether it could be done: not where somebody has written since we read."""
        events = events_of(found.runs)
        run = encode(len(events) + 1, ending_of_torn(events), now=self._terms.clock(), torn=True)
        arguments = (names.channel(log_id), self._terms.sealed_ms, found.top, self._terms.worker, run)
        (reply,) = await self._line.ask(call(TAKE_OVER, names.log_key(log_id), *arguments))
        return bool(reply == DONE)
