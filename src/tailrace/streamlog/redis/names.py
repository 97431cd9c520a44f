"""What things are called in Redis. All keys of one stream share a hash tag, so that they lie together."""

from __future__ import annotations

from typing import Final

from tailrace.streamlog.codec import sound_text

WORKERS: Final = b"tailrace:workers"
"""A set: every worker that may have streams."""

EVERYONE: Final = b"tailrace:logs"
"""A sorted set of all streams' ids, by the time when they began."""


def log_key(log_id: str) -> bytes:
    """The stream that holds a log's records."""
    return _own(log_id, "log")


def state_key(log_id: str) -> bytes:
    """A hash: who reads the log on other workers than its own (`v:<worker>`), and whether it is to stop (`stop`)."""
    return _own(log_id, "state")


def channel(log_id: str) -> bytes:
    """Where each run of a log is published."""
    return _own(log_id, "tail")


def owner_key(owner: str) -> bytes:
    """A sorted set of an owner's streams, by the time when they began."""
    return f"tailrace:logs:{sound_text(owner)}".encode()


def chat_key(owner: str, chat_id: str) -> bytes:
    """The same of one of its chats."""
    return f"tailrace:chat:{sound_text(owner)}:{sound_text(chat_id)}".encode()


def lease_key(worker: str) -> bytes:
    """A key that is there as long as the worker is held to live."""
    return f"tailrace:worker:{worker}".encode()


def running_key(worker: str) -> bytes:
    """A set: the streams that a worker writes."""
    return f"tailrace:worker:{worker}:logs".encode()


def hints_channel(worker: str) -> bytes:
    """Where a worker is told to look at the state of one of its streams at once."""
    return f"tailrace:worker:{worker}:hints".encode()


def _own(log_id: str, kind: str) -> bytes:
    return f"tailrace:{{{sound_text(log_id)}}}:{kind}".encode()
