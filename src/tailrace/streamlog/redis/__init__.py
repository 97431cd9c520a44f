"""Logs in Redis or Valkey, which many workers on many machines share."""

from tailrace.streamlog.redis.store import RedisStore

__all__ = ["RedisStore"]
