"""Chooses the store that the settings name."""

from __future__ import annotations

from pathlib import Path

from tailrace.errors import SettingsError
from tailrace.settings import SecretUrl, Settings, StreamSettings
from tailrace.streamlog.sqlite import SqliteStore
from tailrace.streamlog.store import LogStore, MemoryStore, OnFlush


def create_store(settings: Settings, path: Path, *, on_flush: OnFlush = lambda *_: None) -> LogStore:
    """The store of logs that the settings name, not yet open.

    `path` is where a file of its own would lie; `on_flush` is told how each write came out.
    """
    stream = settings.stream
    if settings.redis_url is not None:
        return _create_shared(settings.redis_url, stream, on_flush)
    if not stream.keep_s:
        return MemoryStore()
    return SqliteStore(path, keep_s=stream.keep_s, keep_size=stream.keep_size, on_flush=on_flush)


def _create_shared(url: SecretUrl, stream: StreamSettings, on_flush: OnFlush) -> LogStore:
    try:
        from tailrace.streamlog.redis import RedisStore  # an optional driver
    except ImportError as error:
        message = f"Redis needs the packages redis and hiredis ({error}): pip install 'tailrace[redis]'"
        raise SettingsError(message, where="TAILRACE_REDIS_URL") from error
    return RedisStore(url, keep_s=stream.keep_s, lease_s=stream.lease_s, on_flush=on_flush)
