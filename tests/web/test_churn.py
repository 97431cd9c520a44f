"""What a thousand readers that leave cost in the end: nothing."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from collections import Counter

import pytest
from tests.reader import Reader
from tests.server import serving
from tests.upstream import ScriptedUpstream, Step, chunk, chunked_head
from tests.waiting import until
from tests.web.tapped import WORD

from tailrace import Settings, create_app
from tailrace.generation import Generations
from tailrace.settings import ProviderSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

TOKEN = chunk(b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n')
AT_ONCE = 50
KEPT_BYTES = 400_000
"""What sets and timers may have grown by, in five hundred streams: one whole stream costs about 30,000."""


async def test_a_thousand_readers_leave() -> None:
    """After 1,000 aborted streams, left at every moment, no task, connection, viewer or log is left, and the memory
    of the second half is given back."""
    async with ScriptedUpstream([chunked_head() + TOKEN * 3, Step.STALL]) as upstream:
        settings = Settings(providers={"up": ProviderSettings(kind="openai", base_url=upstream.url, default_model="m")})
        app = create_app(settings)
        generations: Generations = app.state.tailrace.generations
        async with serving(app) as url:
            before = await at_rest(generations, upstream)
            await churn(url, 500, random.Random(1))
            assert len(upstream.requests) > 300
            first = await at_rest(generations, upstream)
            tracemalloc.start()
            await churn(url, 500, random.Random(2))
            second = await at_rest(generations, upstream)
            kept, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    assert second == first
    assert not (second - before).keys() & {"Generation", "RingLog", "StreamFeed", "Cursor", "Delivery", "Meter"}
    assert kept < KEPT_BYTES


async def churn(url: str, readers: int, chance: random.Random) -> None:
    """So many readers, some at once, each of which leaves."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def visit() -> None:
        async with slots, Reader(url) as reader:
            await reader.ask("POST", "/v1/chat/stream", {**WORD, "model": "up/m"})
            match chance.randrange(4):
                case 0:
                    await asyncio.sleep(chance.random() / 100)
                case 1:
                    await reader.head()
                case _:
                    await reader.until(b"word", times=chance.randint(1, 3))
            chance.choice([reader.leave, reader.reset, reader.half_close])()
            await reader.closed()

    await asyncio.gather(*(visit() for _ in range(readers)))


async def at_rest(generations: Generations, upstream: ScriptedUpstream) -> Counter[str]:
    """Wait until nothing runs, let the logs go as when their time has come, and count what is left of ours."""
    await until(lambda: not generations.running())
    await until(lambda: not upstream.open_connections)
    await generations.store.flush()
    await until(lambda: not ours()["Followed"])
    assert [log.id for log in generations.ring if log.viewers] == []
    now = asyncio.get_running_loop().time()
    generations.ring.sweep(now)
    generations.ring.sweep(now + 61)
    assert len(generations.ring) == 0
    upstream.requests.clear()
    upstream.closed.clear()
    upstream.connections = 0
    gc.collect()
    return ours()


def ours() -> Counter[str]:
    """All objects of our own classes, by class."""
    return Counter(
        type(thing).__qualname__ for thing in gc.get_objects() if str(type(thing).__module__).startswith("tailrace.")
    )
