"""All that keeps logs, for the tests of what each of them does. Whoever adds one adds its shelf here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.streamlog.redis.shelf import RedisShelf, empty, shared_redis
from tests.streamlog.shelves import MemoryShelf, Shelf, SqliteShelf


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis for all these tests."""
    with shared_redis() as url:
        yield url


def make_shelf(kind: str, folder: Path, redis_url: str) -> Shelf:
    """A process with an empty store of this kind."""
    match kind:
        case "sqlite":
            return SqliteShelf(folder)
        case "redis":
            empty(redis_url)
            return RedisShelf(redis_url)
        case _:
            return MemoryShelf()


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> AsyncIterator[Shelf]:
    """A process with an empty store of each kind."""
    made = make_shelf(request.param, tmp_path, redis_url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture(params=["sqlite", "redis"])
async def lasting(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> AsyncIterator[Shelf]:
    """The same, of those kinds that outlive their process."""
    made = make_shelf(request.param, tmp_path, redis_url)
    await made.open()
    yield made
    await made.close()
