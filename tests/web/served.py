"""A small app behind our server, run as a process of its own: what the tests of the server talk to.

It takes its options as JSON in its only argument, prints its port, and then what happens to the app, a line each.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.types import Receive, Scope, Send

from tailrace.settings import ServerSettings, Settings, StreamSettings
from tailrace.web import logs
from tailrace.web.connection import Connection, Phase
from tailrace.web.listeners import bind
from tailrace.web.server import Server


class Streams:
    """Stands for the app's streams: it drains when `/release` was asked for, or when the drain time is over."""

    def __init__(self) -> None:
        self.draining = False
        self.released = asyncio.Event()

    async def drain(self, seconds: float, /) -> None:
        """Wait for the release, at most so long."""
        self.draining = True
        tell("draining")
        try:
            async with asyncio.timeout(seconds):
                await self.released.wait()
        except TimeoutError:
            tell("drain time over")


class App:
    """The app; each path does one thing."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(tailrace=Streams())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        match scope["path"].removeprefix(scope["root_path"]):
            case "/readyz":
                draining = self.state.tailrace.draining
                await answer(send, 503 if draining else 200, {"draining": draining})
            case "/release":
                self.state.tailrace.released.set()
                await answer(send, 200, {})
            case "/stream":
                await self._stream(receive, send)
            case "/flood":
                await flood(receive, send)
            case "/abort":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                scope["extensions"]["tailrace.connection"].abort()
            case "/early":
                await answer(send, 401, {})
            case "/fail":
                raise RuntimeError("forged\nline \x1b[31m")
            case _:
                await answer(send, 200, await described(scope, receive, send))

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            tell(message["type"])
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _stream(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        released = asyncio.ensure_future(self.state.tailrace.released.wait())
        gone = asyncio.ensure_future(receive())
        done, _ = await asyncio.wait({released, gone}, return_when=asyncio.FIRST_COMPLETED)
        tell("stream released" if released in done else "reader gone")
        gone.cancel()
        await send({"type": "http.response.body", "body": b"last\n", "more_body": False})


async def flood(receive: Receive, send: Send) -> None:
    """Send without end, say when the socket is full, and end when the reader is gone."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.ensure_future(receive())
    full = False
    while not gone.done():
        sending = asyncio.ensure_future(send({"type": "http.response.body", "body": bytes(65536), "more_body": True}))
        taken, _ = await asyncio.wait({sending}, timeout=1.0)
        if not taken and not full:
            full = True
            tell("socket full")
        await sending
    tell("reader gone")


async def described(scope: Scope, receive: Receive, send: Send) -> dict[str, Any]:
    """The request as the app sees it, its body read to the end."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    return {
        "client": scope["client"][0],
        "scheme": scope["scheme"],
        "path": scope["path"],
        "root_path": scope["root_path"],
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "body_bytes": size,
        "own_send": scope["extensions"]["tailrace.send"] == send,
        "draining": False,
    }


async def answer(send: Send, status: int, value: Any) -> None:
    """A whole answer of JSON."""
    body = json.dumps(value).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def tell(line: str) -> None:
    """Say what happened, at once."""
    print(line, flush=True)


def main(options: dict[str, Any]) -> None:
    """Serve until told to stop."""
    limits = {Phase[name]: seconds for name, seconds in options.get("limits", {}).items()}
    Connection.limits = {**Connection.limits, **limits}
    Server.flush_s = options.get("flush_s", Server.flush_s)
    server_settings = ServerSettings(
        port=0,
        log_level=options.get("log_level", "info"),
        root_path=options.get("root_path", ""),
        tls_cert=Path(options["tls_cert"]) if "tls_cert" in options else None,
        tls_key=Path(options["tls_key"]) if "tls_key" in options else None,
    )
    settings = Settings(server=server_settings, stream=StreamSettings(drain_s=options.get("drain_s", 20.0)))
    logs.configure(settings.server.log_level)
    server = Server(App(), settings, announce=tell)
    server.config.loop = options.get("loop", server.config.loop)
    server.run(bind("127.0.0.1", 0))
    tell(f"ended forced={server.force_exit}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
