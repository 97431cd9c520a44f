"""Every keeper of limits that there is, and how a test asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import pytest
from tests.redis_server import redis_server

from tailrace.errors import RequestError
from tailrace.limits import Limits, MemoryLimits, Quota
from tailrace.limits.redis import RedisLimits
from tailrace.streamlog.redis.line import Redis


class Clock:
    """Time that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


Create: TypeAlias = Callable[[Callable[[], float]], Limits]

IMPLEMENTATIONS: Final = ("memory", "redis")


@asynccontextmanager
async def creating(name: str) -> AsyncIterator[Create]:
    """What makes keepers of this kind, each not yet open; those of one kind that are made together share all there is
    to share."""
    if name == "memory":
        yield MemoryLimits
        return
    async with redis_server("--appendonly", "no") as server:
        yield lambda clock: RedisLimits(Redis(server.url), clock=clock)


async def refused(limits: Limits, quota: Quota, *, tokens: int = 1, key: str = "key") -> RequestError:
    """How a request is refused."""
    with pytest.raises(RequestError) as refusal:
        await limits.acquire(key, quota, tokens=tokens)
    assert refusal.value.status == 429
    return refusal.value
