"""A real Redis (or Valkey) on an ephemeral port, which a test may stop, start again, freeze and empty."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.upstream import DEADLINE_S


class RedisServer:
    """`url` is where it listens while it runs. What it holds is on its disk after `stop`, unless that empties it."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._folder = folder
        self._flags = flags
        self._process: asyncio.subprocess.Process | None = None
        self._port = _free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            find_redis(),
            *("--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"),
            *self._flags,
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(DEADLINE_S):
            while await self._ping() != b"+PONG\r\n":
                assert self._process.returncode is None, "the Redis ended"
                await asyncio.sleep(0.01)

    async def stop(self, *, empty: bool = False) -> None:
        """Kill it, as a machine that fails; with `empty` all that it held is lost."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._process = None
        if empty:
            for held in self._folder.iterdir():
                shutil.rmtree(held) if held.is_dir() else held.unlink()

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _ping(self) -> bytes:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except ConnectionError:
            return b""
        writer.write(b"PING\r\n")
        try:
            return await reader.readline()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def redis_server(*flags: str) -> AsyncIterator[RedisServer]:
    """Run one with these flags, and end it."""
    with tempfile.TemporaryDirectory(prefix="tailrace-redis-") as folder:
        server = RedisServer(Path(folder), *flags)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


def find_redis() -> str:
    """The program's path; an error where it is not installed."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    assert found is not None, "redis-server is not installed: make test installs it, or names it"
    return found


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
