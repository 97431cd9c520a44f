"""Chooses where limits are counted."""

from __future__ import annotations

from tailrace.limits.base import Limits, OnCheck
from tailrace.limits.memory import MemoryLimits
from tailrace.settings import Settings


def create_limits(settings: Settings, *, on_check: OnCheck = lambda *_: None) -> Limits:
    """In Redis where the settings name one, so that all processes count together; else in memory. Not yet open."""
    if settings.redis_url is None:
        return MemoryLimits()
    # Its driver is an extra
    from tailrace.limits.redis import RedisLimits
    from tailrace.streamlog.redis.line import Redis

    return RedisLimits(Redis(settings.redis_url.reveal()), lease_s=settings.stream.lease_s, on_check=on_check)
