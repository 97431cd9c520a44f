"""A viewer for Python code: follow a log as an async iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from tailrace.events import Event
from tailrace.streamlog.base import StreamLog

_PAGE: Final = 512


class _Waiter:
    """Turns `wake` into something that can be awaited."""

    def __init__(self, position: int) -> None:
        self.position = position
        self._more = asyncio.Event()

    def wake(self) -> None:
        self._more.set()

    def tick(self, now: float) -> None:
        pass

    async def wait(self) -> None:
        await self._more.wait()
        self._more.clear()


async def follow(log: StreamLog, after: int = 0) -> AsyncGenerator[Event, None]:
    """Every event after entry `after`, each as soon as it is appended, up to and with the terminal one.

    Closing the iterator counts as leaving: the generation's disconnect policy then applies.
    """
    waiter = _Waiter(after)
    log.attach(waiter)
    try:
        while True:
            for event in log.read(after, _PAGE):
                after += 1
                waiter.position = after
                yield event
            if after < log.tail:
                continue
            if log.terminal is not None:
                return
            await waiter.wait()
    finally:
        log.detach(waiter)


async def ended(log: StreamLog, *, within_s: float) -> None:
    """Return when the log has ended, or after so many seconds."""
    waiter = _Waiter(log.tail)
    log.attach(waiter)
    try:
        async with asyncio.timeout(within_s):
            while log.terminal is None:
                await waiter.wait()
    except TimeoutError:
        return
    finally:
        log.detach(waiter)
