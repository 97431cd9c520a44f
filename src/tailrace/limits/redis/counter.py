"""Runs errands to Redis, in groups: what comes while one group is under way goes with the next."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import structlog
from redis.exceptions import ResponseError

from tailrace.errors import StoreError
from tailrace.limits.redis.errands import Debt, Desk, Errand, Telling
from tailrace.streamlog.redis.line import Line, pack, trouble

ANSWER_S: Final = 0.5
"""How long a request waits for Redis before this process counts for itself."""

PROBE_S: Final = 3.0
RETRY_S: Final = 1.0
_GROUP: Final = 256

_log = structlog.get_logger(__name__)


class Counter:
    """Counts at Redis. While that does not answer, `run` refuses at once, and it is asked again each second.

    What each key has here, and what Redis was not told, is told again in good time before the worker's lease runs out,
    and first of all when Redis is back: it may have lost everything.
    """

    def __init__(self, line: Line, desk: Desk) -> None:
        # For its whole life
        self._line = line
        self._desk = desk
        # While it is open
        self._busy = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # As it goes
        self._waiting: list[Errand] = []
        self._debts: dict[str, Debt] = {}
        self._told_at = float("-inf")
        self._down = False

    async def open(self) -> None:
        """Ask Redis whether it is there, and begin."""
        await self._send([])
        self._task = asyncio.create_task(self._keep_running(), name="limits:redis")

    async def close(self) -> None:
        """Tell Redis what it was not told, if it answers, and let go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if not self._down:
            await self._send([*self._waiting, *self._tellings()])
        for errand in self._waiting:
            errand.lose(StoreError("Redis: closed"))
        self._waiting = []
        await self._line.close()

    def run(self, errand: Errand) -> None:
        """Have an errand run; its `done` says what came of it. Raises StoreError where Redis is known to be away."""
        if self._down or self._task is None:
            raise StoreError("Redis: it does not answer")
        self._waiting.append(errand)
        self._busy.set()

    def owe(self, key_id: str, debt: Debt) -> None:
        """Have Redis told of this at the next occasion."""
        self._debts[key_id] = self._debts.get(key_id, Debt()).add(debt)

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            pause = RETRY_S if self._down else self._told_at + self._desk.lease_s / 3 - loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause)):
                    await self._busy.wait()
            self._busy.clear()
            late = self._down or loop.time() >= self._told_at + self._desk.lease_s / 3
            group = [*(self._tellings() if late else []), *self._waiting[:_GROUP]]
            self._waiting = self._waiting[_GROUP:]
            await self._send(group)
            if self._waiting:
                self._busy.set()

    def _tellings(self) -> list[Errand]:
        """Of every key that has streams here, or of which Redis was not told all."""
        debts, self._debts = self._debts, {}
        keys = {**dict.fromkeys(self._desk.near.streaming(), Debt()), **debts}
        self._told_at = asyncio.get_running_loop().time()
        return [Telling(self._desk, key_id, debt) for key_id, debt in keys.items()]

    async def _send(self, group: Sequence[Errand]) -> None:
        """Send a group, and a PING where it is empty; each errand has its reply then, or none."""
        try:
            async with asyncio.timeout(PROBE_S if self._down or not group else ANSWER_S):
                replies = await self._line.exchange(self._write(group), max(1, len(group)))
            self._take(group, replies[: len(group)])
        except asyncio.CancelledError:
            self._lose(group, StoreError("Redis: closed"))
            raise
        except Exception as error:
            self._note(error)
            self._lose([*group, *self._waiting], _readable(error))
            self._waiting = []

    def _write(self, group: Sequence[Errand]) -> list[bytes]:
        if not group:
            return [pack((b"PING",))]
        seen: set[str] = set()
        packed = []
        for errand in group:
            packed.append(pack(errand.write(first=errand.key_id not in seen)))
            seen.add(errand.key_id)
        return packed

    def _take(self, group: Sequence[Errand], replies: Sequence[Any]) -> None:
        refusal = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
        for errand, reply in zip(group, replies, strict=True):
            if isinstance(reply, ResponseError):
                self.owe(errand.key_id, errand.lose(_readable(reply)))
            elif (debt := errand.take(reply)) is not None:
                self.owe(errand.key_id, debt)
        self._note(refusal)

    def _lose(self, group: Sequence[Errand], error: StoreError) -> None:
        for errand in group:
            self.owe(errand.key_id, errand.lose(error))

    def _note(self, error: Exception | None) -> None:
        """Say once that limits are each process's own, and once that they are shared again."""
        if error is not None and not self._down:
            self._down = True
            unexpected = not isinstance(error, (StoreError, TimeoutError, ResponseError))
            _log.error("limits_not_shared", store="redis", error=str(_readable(error)), exc_info=unexpected)
        elif error is None and self._down:
            self._down = False
            _log.warning("limits_shared_again", store="redis")


def _readable(error: Exception) -> StoreError:
    return error if isinstance(error, StoreError) else trouble(error)
