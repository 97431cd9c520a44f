"""A wire between a browser and a server that a test can cut, at a byte of its choice.

A browser drops what it has not read when its connection breaks: see that it has got what it shall have before the cut.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from tests.waiting import until

_LAST_EVENT_ID: Final = re.compile(rb"\r\nlast-event-id: *([^\r]*)", re.IGNORECASE)


class CuttingProxy:
    """Forwards bytes to the server at `url`, until it is told to cut."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._mark: bytes | None = None
        self._heads: list[bytes] = []
        self._links: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._cuts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def cursors(self) -> list[str | None]:
        """The `Last-Event-ID` of each request that came, or None."""
        found = [_LAST_EVENT_ID.search(head) for head in self._heads]
        return [match[1].decode() if match else None for match in found]

    def cut_at(self, mark: bytes) -> None:
        """Cut an answer right before the next `mark` in it, once."""
        self._mark = mark

    def cut(self) -> None:
        """Cut all connections now."""
        for to_browser in self._open:
            to_browser.close()

    def point_at(self, url: str) -> None:
        """Forward what comes from now on to another server."""
        self._target = urlsplit(url)

    async def has_cut(self) -> None:
        """Wait until it came to the mark and cut."""
        await until(lambda: self._cuts)

    async def was_asked(self, times: int) -> None:
        """Wait until so many requests have come."""
        await until(lambda: len(self._heads) >= times)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await self._server.wait_closed()

    async def _link(self, browser: asyncio.StreamReader, to_browser: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        task.add_done_callback(self._links.discard)
        try:
            server, to_server = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:  # the server is down
            to_browser.transport.abort()
            return
        asking = asyncio.create_task(self._ask(browser, to_server))
        self._open.add(to_browser)
        try:
            await self._answer(server, to_browser)
        finally:
            asking.cancel()
            self._open.discard(to_browser)
            # In order, so that the browser gets all that lies before the cut.
            to_browser.close()
            to_server.transport.abort()

    async def _ask(self, browser: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        """Each read of the browser's is a request, for it sends no bodies."""
        while data := await browser.read(65536):
            self._heads.append(data)
            to_server.write(data)
        to_server.transport.abort()

    async def _answer(self, server: asyncio.StreamReader, to_browser: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await server.read(65536):
                if self._mark is not None and (at := data.find(self._mark)) >= 0:
                    self._mark = None
                    to_browser.write(data[:at])
                    await to_browser.drain()
                    self._cuts += 1
                    return
                to_browser.write(data)
                await to_browser.drain()
