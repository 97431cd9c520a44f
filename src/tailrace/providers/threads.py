"""Blocking iterators, run in a thread of their own: read ahead a little, and stopped for real."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncGenerator, Iterable
from typing import Final, Generic, TypeVar

import structlog

T = TypeVar("T")

_log = structlog.get_logger(__name__)


async def iterate(iterable: Iterable[T], *, ahead: int = 64) -> AsyncGenerator[list[T], None]:
    """Iterate in a thread and yield what is ready, each time as one list that is never empty.

    The iterable belongs to the thread: `iter`, `next` and `close` run there, with the caller's context variables.
    While `ahead` items wait unread, the thread waits. An exception comes out here after the items before it; one that
    is no `Exception` (SystemExit, CancelledError) as a RuntimeError, since it was not meant for this task.

    Closing the generator (use `contextlib.aclosing`), or cancelling the task that reads it, stops the thread at its
    next item. Then, as at the end, `close` is called on the iterator and on the iterable, where they have one. A thread
    that hangs inside `next` is not waited for, here or when the interpreter exits.
    """
    if ahead < 1:
        raise ValueError(f"ahead must be at least 1, not {ahead}")
    reader = _Reader(iterable, ahead)
    reader.start()
    try:
        while True:
            items, ended = await reader.take()
            if items:
                yield items
            if ended:
                reader.raise_error()
                return
    finally:
        reader.stop()


class _Reader(Generic[T]):
    """One iterable, the thread that reads it, and what it has read."""

    def __init__(self, iterable: Iterable[T], ahead: int) -> None:
        # Shared, never changed
        self._loop: Final = asyncio.get_running_loop()
        self._ahead: Final = ahead
        # The thread's own
        self._iterable = iterable
        # Guarded by the lock
        self._lock = threading.Condition()
        self._items: list[T] = []
        self._error: Exception | None = None
        self._ended = False
        self._stopped = False
        self._announced = False
        # The event loop's own
        self._ready = asyncio.Event()

    # In the event loop

    def start(self) -> None:
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._read,), name="tailrace-iterate", daemon=True).start()

    async def take(self) -> tuple[list[T], bool]:
        """What is ready, as soon as something is, and whether that was the last."""
        await self._ready.wait()
        self._ready.clear()
        with self._lock:
            self._announced = False
            items, self._items = self._items, []
            self._lock.notify()
            return items, self._ended

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._lock.notify()

    # In the thread

    def _read(self) -> None:
        error: Exception | None = None
        try:
            self._drain()
        except Exception as raised:
            error = raised
        except BaseException as raised:
            error = RuntimeError(f"the iterator raised {type(raised).__name__}")
            error.__cause__ = raised
        self._end(error)

    def _drain(self) -> None:
        with contextlib.ExitStack() as closing:
            closing.callback(_close, self._iterable)
            iterator = iter(self._iterable)
            if iterator is not self._iterable:
                closing.callback(_close, iterator)
            for item in iterator:
                if not self._offer(item):
                    return

    def _offer(self, item: T) -> bool:
        """Hand one item over and wait for room; false when nobody wants more."""
        with self._lock:
            if self._stopped:
                return False
            self._items.append(item)
            self._announce()
            self._lock.wait_for(lambda: self._stopped or len(self._items) < self._ahead)
            return not self._stopped

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            self._error = error
            self._ended = True
            if not self._stopped:
                self._announce()
            elif error is not None:
                _log.warning("iterator_failed_after_stop", error=type(error).__name__)

    def _announce(self) -> None:
        """Wake the loop, once for all that comes until it looks."""
        if self._announced:
            return
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
            self._announced = True
        except RuntimeError:
            # The loop was closed with the generator still open: that is a stop too.
            self._stopped = True


def _close(thing: object) -> None:
    close = getattr(thing, "close", None)
    if callable(close):
        close()
