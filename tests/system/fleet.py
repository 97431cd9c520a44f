"""Several workers that serve the same streams: in the test's own event loop, on one Redis and one ledger."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.reader import Answer, Reader, ask
from tests.redis_server import RedisServer, redis_server
from tests.server import embed, serving
from tests.tap import Run, Tap
from tests.waiting import eventually

from tailrace import Tailrace
from tailrace.ledger import Row, Scope
from tailrace.settings import SecretUrl, Settings, StreamSettings
from tailrace.streamlog.redis import RedisStore

SSE = {"accept": "text/event-stream"}
STREAM = "/v1/chat/stream"


class Worker:
    """One of them. `tap` is its upstream, `url` where it listens."""

    def __init__(self, url: str, tailrace: Tailrace, tap: Tap) -> None:
        self.url = url
        self.tailrace = tailrace
        self.tap = tap

    @property
    def store(self) -> RedisStore:
        """Its logs in Redis."""
        assert isinstance(self.tailrace.store, RedisStore)
        return self.tailrace.store

    async def begin(self, reader: Reader, **body: Any) -> Run:
        """Ask for an answer on this connection; the run that is to make it."""
        asked = len(self.tap.runs)
        await reader.ask("POST", STREAM, {"message": "Hi", **body})
        return await self.tap.asked(asked + 1)

    async def ask(self, method: str, target: str, body: object = None, **headers: str) -> Answer:
        """Ask on a connection of its own and wait for the whole answer."""
        return await ask(self.url, method, target, body, headers=headers)

    def drop_notifications(self, share: float, seed: int) -> None:
        """Lose this share of what is published to it."""
        dice, receive = random.Random(seed), self.store.listener.receive

        def lose_some(channel: bytes, message: bytes) -> None:
            if dice.random() >= share:
                receive(channel, message)

        self.store.listener.receive = lose_some  # type: ignore[method-assign]


class Fleet:
    """The workers, and the Redis that they share."""

    def __init__(self, redis: RedisServer, workers: list[Worker]) -> None:
        self.redis = redis
        self.workers = workers

    async def rows(self) -> tuple[Row, ...]:
        """All rows of the ledger."""
        page = await self.workers[0].tailrace.ledger.rows(Scope(), limit=500)
        return tuple(page.items)

    async def settled(self, count: int = 1, *, within: float = 10.0) -> tuple[Row, ...]:
        """All rows, once there are so many and none runs."""

        def done(rows: tuple[Row, ...]) -> bool:
            return len(rows) == count and all(row.status != "running" for row in rows)

        return await eventually(self.rows, done, within=within)


@asynccontextmanager
async def fleet(
    folder: Path, *, size: int = 2, lease_s: float = 15.0, redis: RedisServer | None = None, **settings: Any
) -> AsyncIterator[Fleet]:
    """Run so many workers."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(redis_server()) if redis is None else redis
        workers: list[Worker] = []
        for _ in range(size):
            tap = Tap()
            tailrace = Tailrace(
                Settings(
                    data_dir=folder / "data",
                    redis_url=SecretUrl(server.url),
                    default_model="tap",
                    stream=StreamSettings(retries=0, lease_s=lease_s),
                    **settings,
                ),
                providers={"tap": tap},
                open=True,
            )
            url = await stack.enter_async_context(serving(embed(tailrace)))
            workers.append(Worker(url, tailrace, tap))
        yield Fleet(server, workers)


async def stream_id(reader: Reader) -> str:
    """The name of the stream that comes on this connection."""
    return (await reader.head()).headers["x-tailrace-stream"]
