"""Keeps the ledger up with what runs: a checkpoint each second, a sweep for the rows of dead processes each two."""

from __future__ import annotations

import asyncio
import itertools
from typing import Final

import structlog

from tailrace.errors import StoreError, StreamError
from tailrace.generation.generations import Generations
from tailrace.ledger import Ledger

CHECKPOINT_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Bookkeeper:
    """One task beside the generations. `start` it once the ledger is open, `stop` it before the ledger closes."""

    def __init__(self, ledger: Ledger, generations: Generations) -> None:
        self._ledger = ledger
        self._generations = generations
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the books."""
        self._task = asyncio.create_task(self._run(), name="bookkeeping")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        for second in itertools.count():
            await asyncio.sleep(CHECKPOINT_S)
            try:
                await self._keep(sweeps=second % 2 == 1)
            except StoreError as error:
                _log.warning("ledger_unavailable", error=str(error))
            except Exception:
                _log.exception("bookkeeping_failed")

    async def _keep(self, *, sweeps: bool) -> None:
        running = [generation for generation in self._generations.running() if generation.account is not None]
        self._ledger.checkpoint({generation.id: generation.count() for generation in running})
        if not sweeps:
            return
        if swept := await self._ledger.sweep():
            _log.warning("rows_swept", generations=swept)
        for generation_id in await self._ledger.lost():
            if (generation := self._generations.get(generation_id)) is not None:
                generation.stop(StreamError("interrupted", "another process has taken this stream over"))
