"""The HTTP side of the client: how it asks, what it waits for, and what the server's refusals become."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx2
import msgspec

from tailrace.errors import RequestError, UnreachableError

_STREAM: Final = {"accept": "text/event-stream"}


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long the client waits, in seconds.

    `connect` for a connection; `stall` for any byte of a stream (the server sends one each 15 s at least); `resume`
    for an answer to go on after its connection was lost. Between tries it waits up to twice as long each time, from
    `backoff` on.
    """

    connect: float = 10.0
    stall: float = 45.0
    resume: float = 60.0
    backoff: float = 0.25


class Wire:
    """One pool of connections to one server."""

    def __init__(self, url: str, *, key: str | None, patience: Patience, transport: httpx2.AsyncBaseTransport | None):
        self.url = url
        self.patience = patience
        self._http = httpx2.AsyncClient(
            base_url=url,
            headers={} if key is None else {"authorization": f"Bearer {key}"},
            timeout=httpx2.Timeout(patience.stall, connect=patience.connect, pool=None),
            limits=httpx2.Limits(max_connections=None),
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """One JSON answer. Raises RequestError where the server refuses, UnreachableError where it can't be reached."""
        try:
            response = await self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise self.lost(error) from error
        if response.is_error:
            raise read_refusal(response)
        return response.json() if response.content else None

    @contextlib.asynccontextmanager
    async def open(
        self, method: str, path: str, *, headers: Mapping[str, str], json: Any = None
    ) -> AsyncIterator[httpx2.Response]:
        """A response whose body is still to come; its transport errors are the caller's to see."""
        async with self._http.stream(method, path, headers={**_STREAM, **headers}, json=json) as response:
            if response.is_error:
                await response.aread()
                raise read_refusal(response)
            yield response

    def lost(self, error: Exception) -> UnreachableError:
        """The error for a connection that could not be made, or made again."""
        return UnreachableError(f"{self.url} does not answer: {error or type(error).__name__}", url=self.url)


class _Problem(msgspec.Struct):
    detail: str = ""
    code: str = ""
    field: str | None = None


def read_refusal(response: httpx2.Response) -> RequestError:
    """A server's problem JSON as the error that it was; anything else by its status."""
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem()
    return RequestError(
        response.status_code,
        problem.code or "http_error",
        problem.detail or f"the server answered {response.status_code}",
        field=problem.field,
        headers=dict(response.headers),
    )
