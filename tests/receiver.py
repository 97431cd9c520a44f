"""A receiver that keeps what it was given, for tests of transports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tests.upstream import DEADLINE_S


class Recorder:
    """Keeps head and body; is content with less than the whole body once it holds `enough`."""

    def __init__(self, enough: bytes | None = None) -> None:
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.heads = 0
        self.pieces: list[bytes] = []
        self._enough = enough
        self._changed = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def response_started(self, status: int, headers: Mapping[str, str]) -> None:
        self.status, self.headers = status, headers
        self.heads += 1
        self._changed.set()

    def body_received(self, data: bytes) -> bool:
        self.pieces.append(data)
        self._changed.set()
        return self._enough is not None and self._enough in self.body

    async def started(self) -> None:
        """Wait for the head."""
        async with asyncio.timeout(DEADLINE_S):
            while self.status is None:
                await self._changed.wait()
                self._changed.clear()

    async def holds(self, body: bytes) -> None:
        """Wait until the body is `body`."""
        async with asyncio.timeout(DEADLINE_S):
            while self.body != body:
                await self._changed.wait()
                self._changed.clear()
