"""The server process: uvicorn, stopped in an order that tells every reader the truth.

A signal to stop does not close the listeners. The app drains first, while it still listens (its `/readyz` says 503);
when all streams have ended, or the drain time has, the listeners close, what viewers are owed is flushed, and the
process ends with status 0.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, ClassVar, Final, Protocol

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tailrace.errors import SettingsError
from tailrace.settings import Settings
from tailrace.web.connection import Connection, Phase
from tailrace.web.logs import flush_access
from tailrace.web.startup import Startup, silence

_BACKLOG: Final = 4096
_HURRY_S: Final = 1.0
_COLLECT_AFTER: Final = (10_000, 10, 10)
"""New objects before the youngest are looked through, and so on: a million before all are. Looking through all stops
every stream for as long as it takes, at 10,000 readers for most of a second; Python would do it after 70,000.
"""

_SWEEP_TICKS: Final = 10  # uvicorn ticks ten times a second

_log = structlog.get_logger(__name__)


class Drainable(Protocol):
    """What the server asks of the app, as `app.state.tailrace`."""

    async def drain(self, seconds: float, /) -> None:
        """Be not ready, take no new streams, and return when none is left.

        Awaited once, after the first signal, while the server still listens. After that many seconds the generations
        that still run are sealed `draining` and it returns.
        """


class Server(uvicorn.Server):
    """A uvicorn server that drains before it closes. `announce` is called with its URL once it answers."""

    flush_s: ClassVar[float] = 5.0
    """How long viewers may take for their last bytes once the listeners are closed."""

    def __init__(self, app: Any, settings: Settings, *, announce: Callable[[str], None] | None = None) -> None:
        self._start = Startup()
        super().__init__(build_config(_Started(app, self._start), settings))
        self._app = app
        self._drain_s = settings.stream.drain_s
        self._announce = announce
        self._asked_to_stop = False
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then listen, then say so. Raises SettingsError where the app refuses its settings."""
        silence(self)
        try:
            await super().startup(sockets)
        except SystemExit:
            if self._start.refusal is None:
                raise
            raise self._start.refusal from None
        # What lives from the start on lives until the end: the collector need not look at it again
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        if self._announce is not None:
            self._announce(self._url())

    async def on_tick(self, counter: int) -> bool:
        """Sweep the connections once a second; drain once asked to stop, and stop once drained."""
        if counter % _SWEEP_TICKS == 0:
            self._sweep()
        if self._asked_to_stop and self._drain is None:
            self._drain = asyncio.create_task(self._drain_app())
        if self._drain is not None and self._drain.done():
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners, let viewers take their last bytes for `flush_s`, shut the app down."""
        flush_s = 0 if self.force_exit else self.flush_s
        deadline = asyncio.get_running_loop().call_later(flush_s, self._abort_connections)
        try:
            await super().shutdown(sockets)
        finally:
            deadline.cancel()
            flush_access()
        if self.force_exit:
            await self._hurry_lifespan()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal; a second SIGINT ends at once.

        uvicorn would keep the signal and raise it again at the end, which would make it the exit status.
        """
        if self._asked_to_stop and sig == signal.SIGINT:
            self.force_exit = self.should_exit = True
            asyncio.get_running_loop().call_soon_threadsafe(self._abort_connections)
        self._asked_to_stop = True

    async def _drain_app(self) -> None:
        drainable: Drainable = self._app.state.tailrace
        try:
            async with asyncio.timeout(self._drain_s + self.flush_s):
                await drainable.drain(self._drain_s)
        except Exception:
            _log.exception("the app could not drain")

    async def _hurry_lifespan(self) -> None:
        # uvicorn leaves it out when forced to end, and so the app's connections open.
        try:
            async with asyncio.timeout(_HURRY_S):
                await self.lifespan.shutdown()
        except TimeoutError:
            _log.warning("the app did not shut down in time")

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.sweep(now)

    def _abort_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _url(self) -> str:
        host, port = self.config.host, self.servers[0].sockets[0].getsockname()[1]
        scheme = "https" if self.config.is_ssl else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


class _Started:
    """The outermost ASGI wrapper: its lifespan is watched, and all else goes straight to the app."""

    def __init__(self, app: ASGIApp, start: Startup) -> None:
        self._app = app
        self._start = start

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            return self._app(scope, receive, send)
        return self._start.run(self._app, scope, receive, send)


def build_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """uvicorn's configuration, loaded. Raises SettingsError for a certificate or key that can't be used."""
    server = settings.server
    config = uvicorn.Config(
        app,
        host=server.host,
        port=server.port,
        workers=1,
        loop="auto",
        http=Connection,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=server.log_level in ("debug", "info"),
        proxy_headers=False,
        server_header=False,
        root_path=server.root_path,
        backlog=_BACKLOG,
        timeout_keep_alive=int(Connection.limits[Phase.IDLE]),
        ssl_certfile=server.tls_cert,
        ssl_keyfile=server.tls_key,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"the certificate and its key can't be used: {error}", where="--tls-cert") from None
    return config
