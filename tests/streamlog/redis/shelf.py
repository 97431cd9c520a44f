"""What a process has of logs on a Redis, and a Redis that many tests share, each after emptying it."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from redis.asyncio.client import Redis as AsyncRedis
from redis.client import Redis
from redis.exceptions import ConnectionError as NotYet
from tests.redis_server import RedisServer, find_redis
from tests.streamlog.shelves import Shelf
from tests.upstream import DEADLINE_S

from tailrace.events import Event
from tailrace.settings import SecretUrl
from tailrace.streamlog import RingLog
from tailrace.streamlog.redis import RedisStore, names

ID: Final = "gen_000000000000000000000001"


class RedisShelf(Shelf):
    """A worker with an empty Redis to itself, unless others are made with the same `url`."""

    def __init__(self, url: str, *, lease_s: float = 15.0) -> None:
        self.url = url
        self.lease_s = lease_s
        self.outcomes: list[str] = []
        super().__init__()

    def _make(self) -> MortalStore:
        return MortalStore(
            SecretUrl(self.url),
            keep_s=self.KEEP_S,
            lease_s=self.lease_s,
            on_flush=lambda _, outcome: self.outcomes.append(outcome),
            clock=lambda: self.now,
        )

    @property
    def redis(self) -> MortalStore:
        """The store as what it is."""
        assert isinstance(self.store, MortalStore)
        return self.store

    async def die(self) -> None:
        """It ends as by `kill -9`, and the time of its lease passes."""
        await self.redis.die()
        with Redis.from_url(self.url) as redis:
            redis.delete(names.lease_key(self.redis.worker))

    async def prune(self) -> None:
        """Redis prunes by itself."""


class MortalStore(RedisStore):
    """A store whose process can die while the test lives on."""

    async def open(self) -> None:
        await super().open()
        # The tests' Redis is young, and nobody was there before: no need to wait for who might come back
        self._takeover._not_before = float("-inf")
        await self._takeover.sweep()

    def get_followed(self, log_id: str) -> RingLog | None:
        """A log that is still to be written."""
        return self._scribe.get(log_id)

    async def sleep(self) -> None:
        """Stand still, as a process that is paused."""
        await self._scribe.stop()
        await self._watch.close()

    def wake(self) -> None:
        """Go on."""
        self._scribe.start()
        self._watch.open()

    async def die(self) -> None:
        """Write nothing more, and let go of the connections as the system would."""
        await self._watch.close()
        await self._let_go()


@asynccontextmanager
async def client(redis: RedisServer) -> AsyncIterator[Any]:
    """A look at it from outside."""
    async with AsyncRedis.from_url(redis.url) as asking:
        yield asking


def said(log: RingLog | None) -> list[Event]:
    """All events of a log that must be there."""
    assert log is not None
    return list(log.read(0, log.tail))


@contextmanager
def shared_redis() -> Iterator[str]:
    """The URL of a Redis that keeps nothing on disk."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tailrace-redis-") as folder:
        command = [find_redis(), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(f"redis://127.0.0.1:{port}")
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def empty(url: str) -> None:
    """Forget all that a Redis holds."""
    with Redis.from_url(url) as redis:
        redis.flushall()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    with Redis.from_url(url) as redis:
        while True:
            try:
                redis.ping()
            except NotYet:
                assert time.monotonic() < deadline, "the Redis did not start"
                time.sleep(0.01)
            else:
                return
