"""A wire between a client and a server that breaks each connection after so many bytes of the answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class SeveringProxy:
    """Forwards to the server at `url`; connection number n breaks after `limits[n]` bytes, later ones never do."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._links: set[asyncio.Task[None]] = set()
        self.limits: list[int] = []
        self.requests: list[bytes] = []
        """What was asked, a head and its body each."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

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

    async def _link(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        task.add_done_callback(self._links.discard)
        server, to_server = await asyncio.open_connection(self._target.hostname, self._target.port)
        asking = asyncio.create_task(self._ask(client, to_server))
        try:
            await self._answer(server, to_client)
        finally:
            asking.cancel()
            to_client.close()
            to_server.transport.abort()

    async def _ask(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while data := await client.read(65536):
            if data.startswith((b"GET", b"POST")):
                self.requests.append(b"")
            self.requests[-1] += data
            to_server.write(data)
        to_server.transport.abort()

    async def _answer(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        left = self.limits.pop(0) if self.limits else None
        with suppress(ConnectionError):
            while data := await server.read(65536):
                to_client.write(data[:left])
                await to_client.drain()
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        return
