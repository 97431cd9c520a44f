"""Following a log from Python code."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import time
from collections.abc import Sequence

import pytest
from tests.upstream import DEADLINE_S

from tailrace.events import Event, Failed, Finished, TextDelta
from tailrace.streamlog import Ring, RingLog, follow

STOP = Finished(reason="stop")

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def log() -> RingLog:
    return Ring().create("gen_x")


def texts(first: int, last: int) -> list[Event]:
    return [TextDelta(text=str(number)) for number in range(first, last + 1)]


async def collect(log: RingLog, after: int = 0) -> list[Event]:
    """Everything that following brings, to the end."""
    async with asyncio.timeout(DEADLINE_S):
        return [event async for event in follow(log, after)]


async def attached(log: RingLog, viewers: int) -> None:
    """Wait until so many follow the log."""
    deadline = time.monotonic() + DEADLINE_S
    while log.viewers != viewers:
        assert time.monotonic() < deadline, f"{log.viewers} follow"
        await asyncio.sleep(0)


def open_followers() -> int:
    """How many iterators of `follow` are still under way anywhere in this process."""
    followers = [found for found in gc.get_objects() if inspect.isasyncgen(found) and found.__name__ == "follow"]
    return sum(follower.ag_frame is not None for follower in followers)


async def append_apart(log: RingLog, *batches: Sequence[Event]) -> None:
    """Append each batch in a turn of its own."""
    for batch in batches:
        log.append(batch)
        await asyncio.sleep(0)


async def test_a_finished_log(log: RingLog) -> None:
    """Of a log that has ended everything comes, over however many pages, with the terminal last."""
    events = [*texts(1, 3000), STOP]
    log.append(events)
    assert await collect(log) == events
    assert log.viewers == 0


@pytest.mark.parametrize("after", [0, 1, 511, 512, 513, 1999, 2000])
async def test_from_a_cursor(log: RingLog, after: int) -> None:
    """From a cursor exactly what follows it."""
    events = [*texts(1, 2000), STOP]
    log.append(events)
    assert await collect(log, after) == events[after:]


async def test_as_it_grows(log: RingLog) -> None:
    """What is appended later comes too, each event once and in order, to all who follow."""
    log.append(texts(1, 2))
    followers = [asyncio.create_task(collect(log, after)) for after in (0, 0, 1)]
    await attached(log, 3)
    await append_apart(log, texts(3, 3), texts(4, 900), texts(901, 901), [Failed(code="cancelled", message="stopped")])
    everything = [*texts(1, 901), Failed(code="cancelled", message="stopped")]
    assert await asyncio.gather(*followers) == [everything, everything, everything[1:]]
    assert log.viewers == 0


async def test_each_as_soon_as_it_is_there(log: RingLog) -> None:
    """An event is had before the next one is appended."""
    events = follow(log)
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
        for event in [*texts(1, 5), STOP]:
            coming = asyncio.ensure_future(anext(events))
            await attached(log, 1)
            log.append([event])
            assert await coming == event


async def test_appended_while_the_reader_is_busy(log: RingLog) -> None:
    """A reader that takes its time misses nothing of what comes meanwhile."""
    log.append(texts(1, 2))
    seen: list[Event] = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in follow(log):
            seen.append(event)
            if log.tail < 50:
                log.append(texts(log.tail + 1, log.tail + 2))
            elif log.terminal is None:
                log.append([STOP])
    assert seen == [*texts(1, 50), STOP]


async def test_leaving_early(log: RingLog) -> None:
    """Who closes the iterator has left: nobody follows any more, and the log is told that it is abandoned."""
    calls: list[str] = []
    log.on_abandoned = lambda: calls.append("abandoned")
    log.append(texts(1, 10))
    async with contextlib.aclosing(follow(log)) as events:
        assert await anext(events) == TextDelta(text="1")
        assert (log.viewers, calls) == (1, [])
    assert (log.viewers, calls) == (0, ["abandoned"])


async def test_leaving_while_waiting(log: RingLog) -> None:
    """A task that is cancelled while it waits for more has left too."""
    calls: list[str] = []
    log.on_abandoned = lambda: calls.append("abandoned")
    follower = asyncio.create_task(collect(log))
    await attached(log, 1)
    follower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await follower
    assert (log.viewers, calls) == (0, ["abandoned"])


async def test_an_exception_in_the_loop(log: RingLog) -> None:
    """An error in the reader's own code counts as leaving."""
    log.append(texts(1, 3))

    async def read() -> None:
        async with contextlib.aclosing(follow(log)) as events:
            async for _ in events:
                raise LookupError("the reader's own")

    with pytest.raises(LookupError):
        await read()
    assert log.viewers == 0


async def test_one_of_two_leaves(log: RingLog) -> None:
    """While another still follows, nobody has abandoned the log."""
    calls: list[str] = []
    log.on_abandoned = lambda: calls.append("abandoned")
    log.append(texts(1, 3))
    async with contextlib.aclosing(follow(log)) as stays:
        await anext(stays)
        async with contextlib.aclosing(follow(log)) as leaves:
            await anext(leaves)
        assert (log.viewers, calls) == (1, [])
    assert calls == ["abandoned"]


async def test_nothing_is_kept() -> None:
    """Of a thousand readers that left, none is still under way."""
    log = Ring().create("gen_x")
    log.append(texts(1, 3))
    for _ in range(1000):
        async with contextlib.aclosing(follow(log)) as events:
            await anext(events)
    assert log.viewers == 0
    assert open_followers() == 0
