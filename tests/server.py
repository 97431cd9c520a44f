"""Servers for tests: `tailrace serve` in a process of its own, or an app on a real socket in the test's own loop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from tests.upstream import DEADLINE_S
from tests.waiting import until

from tailrace import Tailrace
from tailrace.settings import ServerSettings, Settings
from tailrace.web.server import Server

_FOREIGN: Final = (
    *("TAILRACE_", "OPENAI_", "ANTHROPIC_", "OLLAMA_", "STRIPE_"),
    *("GEMINI_", "DEEPSEEK_", "GROQ_", "MISTRAL_", "OPENROUTER_", "XAI_"),
)

_START_S: Final = 30.0
"""A process that must first import everything, on a machine that runs other tests besides, takes its time."""


class RunningServer:
    """A `tailrace serve` of its own. `url` is what it said; its log is on stderr, as JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lines: list[bytes] = []
        self._reading = asyncio.create_task(self._read_log())
        self.url = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    def logs(self) -> list[dict[str, Any]]:
        """All that it has logged so far; a line that is not JSON as `{"raw": …}`."""
        return [_parse_line(line) for line in self._lines]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end: the exit status, negative where a signal ended it. Its log is whole then."""
        async with asyncio.timeout(DEADLINE_S):
            status = await self._process.wait()
            await self._reading
        return status

    async def start(self) -> None:
        """Wait until it says where it listens."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_START_S):
            line = (await self._process.stdout.readline()).decode()
        if " at http" not in line:
            await self.ended()
            raise AssertionError(f"the server did not start: {line!r} {b''.join(self._lines).decode()}")
        self.url = line.partition(" at ")[2].partition(",")[0].strip()

    async def kill(self) -> None:
        """End it, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._lines.append(line)


@asynccontextmanager
async def running_server(
    *flags: str, env: Mapping[str, str] = MappingProxyType({}), config: str = ""
) -> AsyncIterator[RunningServer]:
    """Run `tailrace serve` on an ephemeral port, with these flags, variables and settings file, and end it."""
    with tempfile.TemporaryDirectory(prefix="tailrace-") as folder:
        _write(Path(folder, "tailrace.toml"), config)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tailrace", "serve", "--port", "0", *flags),
            cwd=folder,
            env={**inherited, "PYTHONWARNINGS": "error", "TAILRACE_DATA_DIR": f"{folder}/data", **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        server = RunningServer(process)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()


@asynccontextmanager
async def serving(app: ASGIApp, *, own: bool = True) -> AsyncIterator[str]:
    """The URL of an app on an ephemeral port, in this event loop: behind our server, or behind plain uvicorn."""
    server = _own_server(app) if own else _plain_server(app)
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            cast("Any", connection).transport.abort()
        await until(lambda: not server.server_state.tasks and not server.server_state.connections)
        await server.lifespan.shutdown()


def embed(tailrace: Tailrace) -> FastAPI:
    """An application with tailrace's routes in it and nothing else."""
    app = FastAPI(lifespan=tailrace.lifespan)
    app.include_router(tailrace.router)
    return app


def _own_server(app: ASGIApp) -> uvicorn.Server:
    return Server(app, Settings(server=ServerSettings(port=0, log_level="warning")))


def _plain_server(app: ASGIApp) -> uvicorn.Server:
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="on", ws="none")
    config.load()
    return uvicorn.Server(config)


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


def _parse_line(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        return {"raw": line.decode("utf-8", "replace")}
    return parsed if isinstance(parsed, dict) else {"raw": line.decode()}
