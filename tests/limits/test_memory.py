"""Limits in memory: what is kept of a key, and for how long."""

from __future__ import annotations

from tailrace.limits import MemoryLimits, Quota

QUOTA = Quota(rpm=60, tpm=600, max_streams=2)


class Clock:
    """Time that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_keys_that_rest_are_forgotten() -> None:
    """Memory holds the keys that have a stream or something missing, not all that were ever seen."""
    clock = Clock()
    limits = MemoryLimits(clock)
    running = await limits.acquire("running", QUOTA, tokens=1)
    indebted = await limits.acquire("indebted", QUOTA, tokens=1)
    await indebted.settle(100_000)
    for number in range(1000):
        lease = await limits.acquire(f"key_{number}", QUOTA, tokens=10)
        await lease.settle(20)
    clock.now += 120
    await limits.acquire("new", QUOTA, tokens=1)
    assert set(limits._accounts) == {"running", "indebted", "new"}
    await running.settle(1)


async def test_keys_without_limits_are_forgotten() -> None:
    """A key without limits leaves nothing behind once its streams have ended."""
    clock = Clock()
    limits = MemoryLimits(clock)
    lease = await limits.acquire("key", Quota(), tokens=1)
    await lease.settle(1)
    clock.now += 61
    await limits.acquire("new", Quota(), tokens=1)
    assert set(limits._accounts) == {"new"}


async def test_the_clock_may_stand_or_step_back() -> None:
    """A clock that steps back takes nothing away and gives nothing twice."""
    clock = Clock()
    limits = MemoryLimits(clock)
    lease = await limits.acquire("key", QUOTA, tokens=600)
    clock.now -= 3600
    await lease.settle(300)
    lease = await limits.acquire("key", QUOTA, tokens=0)
    assert lease.headers["x-ratelimit-remaining-tokens"] == "300"


async def test_close_forgets_all() -> None:
    """After `close` nothing is kept, and a lease that ends later does no harm."""
    limits = MemoryLimits(Clock())
    lease = await limits.acquire("key", QUOTA, tokens=1)
    await limits.close()
    assert not limits._accounts
    await lease.settle(5)
