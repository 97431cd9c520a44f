"""Keeps the ledger up with what runs: checkpoints, sweeps for the rows of dead processes, budgets that run out."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from tailrace.errors import StoreError, StreamError
from tailrace.generation.generation import Generation
from tailrace.generation.generations import Generations
from tailrace.ledger import Budget, Ledger

CHECKPOINT_S: Final = 1.0
SWEEP_S: Final = 2.0

_log = structlog.get_logger(__name__)


class Bookkeeper:
    """Two tasks beside the generations. `start` it once the ledger is open, `stop` it before the ledger closes."""

    def __init__(
        self,
        ledger: Ledger,
        generations: Generations,
        *,
        checkpoint_s: float = CHECKPOINT_S,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self._ledger = ledger
        self._generations = generations
        self._checkpoint_s = checkpoint_s
        self._sweep_s = sweep_s
        self._tasks: list[asyncio.Task[None]] = []
        self._answers = True

    def start(self) -> None:
        """Begin to keep the books."""
        # Apart, for a sweep waits for the database and may not hold a checkpoint up
        for interval, work in ((self._checkpoint_s, self._keep_up), (self._sweep_s, self._sweep)):
            self._tasks.append(asyncio.create_task(self._repeat(interval, work), name=f"bookkeeping:{work.__name__}"))

    async def stop(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _repeat(self, interval: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                await work()
            except StoreError as error:
                self._note(str(error))
            except Exception:
                _log.exception("bookkeeping_failed")

    def _note(self, trouble: str | None) -> None:
        """Say once that the database does not answer, and once that it does again."""
        if trouble is not None and self._answers:
            _log.warning("the database does not answer: settlements wait on disk", error=trouble)
        elif trouble is None and not self._answers:
            _log.warning("the database answers again")
        self._answers = trouble is None

    async def _keep_up(self) -> None:
        running = [generation for generation in self._generations.running() if generation.account is not None]
        self._ledger.checkpoint({generation.id: generation.count() for generation in running})
        await self._stop_overdrawn(running)

    async def _sweep(self) -> None:
        if swept := await self._ledger.sweep():
            _log.warning("rows_swept", generations=swept)
        await self._settle_inherited()
        for generation_id in await self._ledger.lost():
            if (generation := self._generations.get(generation_id)) is not None:
                generation.stop(StreamError("interrupted", "another process has taken this stream over"))
        self._note(None)

    async def _settle_inherited(self) -> None:
        """The rows whose logs this process took over; what the database did not take waits for the next time."""
        for generation_id in list(self._generations.inherited):
            if await self._ledger.inherit(generation_id):
                _log.warning("row_inherited", generation=generation_id)
            self._generations.inherited.discard(generation_id)

    async def _stop_overdrawn(self, running: list[Generation]) -> None:
        """Stop the generations of each budget that is spent by what they have come to beyond their reservations.

        Each keeps within what was left when it began; together they might still go beyond it.
        """
        beyond = defaultdict[tuple[str, Budget], list[tuple[Generation, int]]](list)
        for generation in running:
            if (found := _overdraft(generation)) is not None:
                key_id, budget, excess = found
                beyond[key_id, budget].append((generation, excess))
        for (key_id, budget), drawing in beyond.items():
            spent = await self._ledger.spent(key_id, budget) + sum(excess for _, excess in drawing)
            if spent > budget.amount:
                for generation, _ in drawing:
                    generation.stop(StreamError("budget_exceeded", "the key's budget ran out"))


def _overdraft(generation: Generation) -> tuple[str, Budget, int] | None:
    """Whose budget it draws on beyond its reservation, and how far; None where it does not."""
    account = generation.account
    if account is None or account.opening.budget is None:
        return None
    excess = generation.cost() - account.opening.reserved
    return (account.opening.scope.key_id or "", account.opening.budget, excess) if excess > 0 else None
