"""The contract of stores, in any order of events, on a real Redis."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from tests.contracts.streamlog.test_store_in_any_order import Shelves
from tests.streamlog.redis.shelf import RedisShelf, empty, shared_redis
from tests.streamlog.shelves import Shelf


class RedisShelves(Shelves):
    """Workers that follow one another."""

    url: ClassVar[str]

    def make(self, folder: Path) -> Shelf:
        empty(self.url)
        return RedisShelf(self.url)


def test_logs_in_any_order() -> None:
    """Nothing that was kept is ever lost or changed, and no torn log looks whole."""
    with shared_redis() as url:
        RedisShelves.url = url
        run_state_machine_as_test(
            RedisShelves, settings=settings(max_examples=20, stateful_step_count=20, deadline=None)
        )
