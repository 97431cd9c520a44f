"""Limits that are counted in Redis, and in this process's memory while Redis does not answer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

from tailrace.errors import RequestError, StoreError
from tailrace.limits.base import Lease, Limits, OnCheck, Quota
from tailrace.limits.memory import MemoryLimits
from tailrace.limits.redis.counter import Counter
from tailrace.limits.redis.errands import NOTHING, Debt, Desk, Taking, Telling, charge
from tailrace.limits.redis.script import TAKE
from tailrace.streamlog.redis.line import Line, Redis

LEASE_S: Final = 15.0


class RedisLimits(Limits):
    """One count for all workers on all machines.

    Each request is also counted here, so that this process knows, while Redis is away, what it gave out itself. Streams
    of a worker that died are given back when its lease runs out. `clock` is the buckets' alone; None is Redis' own.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        clock: Callable[[], float] | None = None,
        lease_s: float = LEASE_S,
        on_check: OnCheck = lambda *_: None,
    ) -> None:
        self._near = MemoryLimits(clock or time.monotonic)
        self._desk = Desk(worker=secrets.token_hex(8), near=self._near, lease_s=lease_s, clock=clock)
        self._counter = Counter(Line(redis, (TAKE,)), self._desk)
        self._on_check = on_check

    async def open(self) -> None:
        await self._counter.open()

    async def acquire(self, key_id: str, quota: Quota, *, tokens: int) -> Lease:
        if quota == NOTHING:
            return await self._near.acquire(key_id, quota, tokens=tokens)
        try:
            return await self._acquire(key_id, quota, tokens)
        except StoreError:
            return await self._acquire_near(key_id, quota, tokens)

    async def close(self) -> None:
        # Whatever streams were left have ended with us
        for key_id in self._near.streaming():
            self._counter.owe(key_id, Debt())
        await self._near.close()
        await self._counter.close()

    async def tell(self, key_id: str, debt: Debt) -> None:
        """Say what a key took more, or less, and how many streams it has here; return when Redis knows, or is away."""
        telling = Telling(self._desk, key_id, debt)
        try:
            self._counter.run(telling)
        except StoreError:
            self._counter.owe(key_id, debt)
        else:
            await telling.done

    async def _acquire(self, key_id: str, quota: Quota, tokens: int) -> Lease:
        taking = Taking(self._desk, key_id, quota, tokens)
        self._counter.run(taking)
        try:
            near, headers = await taking.done
        except RequestError:
            self._on_check("redis", "refused")
            raise
        self._on_check("redis", "passed")
        return _RedisLease(self, key_id, quota, near, headers, told=charge(quota, requests=1, tokens=tokens))

    async def _acquire_near(self, key_id: str, quota: Quota, tokens: int) -> Lease:
        try:
            near = await self._near.acquire(key_id, quota, tokens=tokens)
        except RequestError:
            self._on_check("memory", "refused")
            raise
        self._on_check("memory", "passed")
        return _RedisLease(self, key_id, quota, near, near.headers, told=Debt(quota=quota))


class _RedisLease(Lease):
    """What was taken here, and what Redis was `told` of it: where it was away, nothing so far."""

    def __init__(
        self, limits: RedisLimits, key_id: str, quota: Quota, near: Lease, headers: dict[str, str], *, told: Debt
    ) -> None:
        self.headers = headers
        self._limits = limits
        self._key_id = key_id
        self._quota = quota
        self._near = near
        self._told = told
        self._open = True

    async def settle(self, tokens: int) -> None:
        await self._near.settle(tokens)
        await self._end(requests=1, tokens=tokens)

    async def cancel(self) -> None:
        await self._near.cancel()
        await self._end(requests=0, tokens=0)

    async def _end(self, *, requests: int, tokens: int) -> None:
        if not self._open:
            return
        self._open = False
        took = charge(self._quota, requests=requests, tokens=tokens)
        told = Debt(quota=self._quota, requests=-self._told.requests, tokens=-self._told.tokens)
        await self._limits.tell(self._key_id, told.add(took))
