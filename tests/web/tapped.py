"""tailrace on a real socket with a provider that the test holds in its hand, driven in either of its two ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeAlias

from fastapi import FastAPI, Request, Response
from tests.reader import Reader
from tests.server import embed, serving
from tests.tap import Run, Tap

from tailrace import Settings, Tailrace
from tailrace.settings import OnDisconnect, StreamSettings
from tailrace.streamlog import RingLog

Driver: TypeAlias = Literal["direct", "awaiting"]
DRIVERS: Final[tuple[Driver, ...]] = ("direct", "awaiting")
"""Behind `tailrace serve`'s server, and behind plain uvicorn with a middleware of the framework's in between."""

WORD: Final = {"message": "Hi"}


class House:
    """A running server. `url` is where; `tap` its only upstream."""

    def __init__(self, url: str, app: FastAPI, tailrace: Tailrace, tap: Tap) -> None:
        self.url = url
        self.app = app
        self.tailrace = tailrace
        self.tap = tap

    @property
    def logs(self) -> list[RingLog]:
        """Every log in memory."""
        return list(self.tailrace.generations.ring)

    @property
    def viewers(self) -> int:
        """How many viewers all logs have."""
        return sum(log.viewers for log in self.logs)

    async def begin(self, reader: Reader, target: str = "/v1/chat/stream", **options: Any) -> Run:
        """Ask for an answer on this connection; the run that is to make it."""
        asked = len(self.tap.runs)
        await reader.ask("POST", target, {**WORD, **options})
        return await self.tap.asked(asked + 1)

    async def attach(self, reader: Reader, target: str = "") -> None:
        """Let this connection read the latest log too, from its start or as `target`, a query, says."""
        before = self.logs[-1].viewers
        accept = {"accept": "text/event-stream"}
        await reader.ask("GET", f"/v1/streams/{self.logs[-1].id}{target}", headers=accept)
        await reader.head()
        assert self.logs[-1].viewers > before


@asynccontextmanager
async def house(
    driver: Driver = "direct", *, on_disconnect: OnDisconnect | None = None, **stream: Any
) -> AsyncIterator[House]:
    """Serve; `stream` are stream settings. Nothing is retried unless they say so."""
    tap = Tap()
    settings = Settings(
        stream=StreamSettings(**{"retries": 0, **stream}), default_model="tap", on_disconnect=on_disconnect
    )
    tailrace = Tailrace(settings, providers={"tap": tap}, open=True)
    app = embed(tailrace)
    if driver == "awaiting":
        app.middleware("http")(pass_through)
    async with serving(app, own=driver == "direct") as url:
        yield House(url, app, tailrace, tap)


async def pass_through(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """The middleware that every tutorial shows."""
    response = await call_next(request)
    response.headers["x-passed"] = "yes"
    return response
