"""Blocking iterators in threads: what comes out, what is held back, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tailrace.providers.threads import iterate


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread makes true; five seconds at most."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        await asyncio.sleep(0.002)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "tailrace-iterate"]


class Source:
    """A generator's every move: what it has made, where it was closed."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.made = 0
        self.closed_in: threading.Thread | None = None

    def __iter__(self) -> Iterator[int]:
        try:
            while self.made < self.size:
                self.made += 1
                yield self.made
        finally:
            self.closed_in = threading.current_thread()


async def test_everything_in_order() -> None:
    """Every item comes out once and in order, in lists that are never empty."""
    batches = [batch async for batch in iterate(range(10_000))]
    assert [item for batch in batches for item in batch] == list(range(10_000))
    assert all(batches)
    await until(lambda: not threads())


async def test_ready_items_together() -> None:
    """Items that are ready while the loop is busy come as one list: one wake-up, however many they are."""
    release = threading.Event()

    def bursting() -> Iterator[int]:
        yield 0
        release.wait()
        yield from range(1, 60)

    async with contextlib.aclosing(iterate(bursting(), ahead=64)) as stream:
        assert await anext(stream) == [0]
        release.set()
        await until(lambda: not threads())
        assert await anext(stream) == list(range(1, 60))


async def test_backpressure() -> None:
    """The thread waits while `ahead` items are unread, and goes on once they are read."""
    source = Source(1_000)
    async with contextlib.aclosing(iterate(source, ahead=8)) as stream:
        read = len(await anext(stream))
        await until(lambda: source.made == read + 8)
        await asyncio.sleep(0.02)
        assert source.made == read + 8
        read += len(await anext(stream))
        await until(lambda: source.made == read + 8)


async def test_error_after_items() -> None:
    """An exception comes out on this side, after the items before it."""

    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("gone")

    seen: list[int] = []

    async def read() -> None:
        async for batch in iterate(failing()):
            seen.extend(batch)

    with pytest.raises(LookupError, match="gone"):
        await read()
    assert seen == [1]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
async def test_foreign_signals_are_errors(error: type[BaseException]) -> None:
    """What would end or cancel the reading task comes out as a plain error instead."""

    class Raising:
        def __iter__(self) -> Raising:
            return self

        def __next__(self) -> int:
            raise error

    with pytest.raises(RuntimeError, match=error.__name__):
        [batch async for batch in iterate(Raising())]


async def test_stop_iteration_inside_a_generator() -> None:
    """A StopIteration that escapes inside a generator is an error, not a clean end."""

    def careless() -> Iterator[int]:
        yield next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration"):
        [batch async for batch in iterate(careless())]


async def test_close_stops_the_thread() -> None:
    """Closing stops the thread at its next item; the generator's `finally` runs in the thread, not here."""
    source = Source(10**9)
    async with contextlib.aclosing(iterate(source)) as stream:
        await anext(stream)
        (thread,) = threads()
    await until(lambda: source.closed_in is thread)
    await until(lambda: not threads())


async def test_cancel_stops_the_thread() -> None:
    """Cancelling the task that reads stops the thread too."""
    source = Source(10**9)

    async def read() -> None:
        async for _ in iterate(source):
            pass

    task = asyncio.create_task(read())
    await until(lambda: source.made > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: source.closed_in is not None and not threads())


async def test_close_reaches_the_response_behind_the_iterator() -> None:
    """An iterable with a `close` of its own, as vendors' stream objects have, is closed as well."""

    class Response:
        closed = False

        def __iter__(self) -> Iterator[str]:
            while True:
                yield "token"

        def close(self) -> None:
            self.closed = True

    response = Response()
    async with contextlib.aclosing(iterate(response)) as stream:
        await anext(stream)
    await until(lambda: response.closed)


async def test_close_does_not_wait_for_a_blocked_iterator() -> None:
    """An iterator that hangs inside `next` does not hold up whoever closes."""
    release = threading.Event()

    def blocked() -> Iterator[int]:
        yield 1
        release.wait()

    started = time.monotonic()
    async with contextlib.aclosing(iterate(blocked())) as stream:
        await anext(stream)
    assert time.monotonic() - started < 1
    assert threads()
    release.set()
    await until(lambda: not threads())


def test_a_blocked_iterator_does_not_hold_up_the_exit() -> None:
    """A process whose iterator hangs for ever ends all the same, and in silence."""
    script = """
import asyncio, threading
from tailrace.providers.threads import iterate
def hang():
    yield 1
    threading.Event().wait()
async def main():
    async for batch in iterate(hang()):
        print(batch)
        break
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1]\n", "")


def test_a_closed_loop_is_left_alone() -> None:
    """A thread that wakes after its loop is closed stops quietly and still closes the generator."""
    release = threading.Event()
    closed = threading.Event()

    def late() -> Iterator[int]:
        try:
            yield 1
            release.wait()
            yield 2
            yield 3
        finally:
            closed.set()

    loop = asyncio.new_event_loop()
    stream = iterate(late())
    assert loop.run_until_complete(anext(stream)) == [1]
    loop.close()
    release.set()
    assert closed.wait(5)
    # Only now: a reader that is dropped would stop the thread by itself.
    del stream


async def test_context_variables() -> None:
    """The iterator sees the caller's context variables."""
    variable = contextvars.ContextVar("variable", default="nothing")
    variable.set("something")

    def reading() -> Iterator[str]:
        yield variable.get()

    assert [batch async for batch in iterate(reading())] == [["something"]]


async def test_no_threads_are_left_behind() -> None:
    """Of 200 streams, half of them left in the middle, no thread remains."""

    async def read(index: int) -> None:
        async with contextlib.aclosing(iterate(Source(100), ahead=4)) as stream:
            async for _ in stream:
                if index % 2:
                    break

    await asyncio.gather(*(read(index) for index in range(200)))
    await until(lambda: not threads())


async def test_ahead_must_be_positive() -> None:
    """Room for no item at all is refused."""
    with pytest.raises(ValueError, match="at least 1"):
        await anext(iterate([1], ahead=0))
