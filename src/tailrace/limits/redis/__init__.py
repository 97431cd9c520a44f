"""Limits that all workers on all machines count together, in Redis."""

from tailrace.limits.redis.limits import RedisLimits

__all__ = ["RedisLimits"]
