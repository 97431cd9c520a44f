"""The Redis that servers share in the rows about several of them."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec

from bench.errors import StartError


class Redis(msgspec.Struct, frozen=True, kw_only=True):
    """A Redis on this machine."""

    port: int

    @property
    def url(self) -> str:
        """Where it is, as servers are told."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def answers(self) -> bool:
        """Whether it is there."""
        try:
            return await self.ask("PING") == b"PONG"
        except OSError:
            return False

    async def count_subscribers(self) -> int:
        """How many connections listen to channels."""
        listed = await self.ask("CLIENT LIST TYPE pubsub")
        return len(listed.split(b"\n")) if listed else 0

    async def ask(self, command: str) -> bytes:
        """The reply to one command that answers with a text."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(command.encode() + b"\r\n")
            line = (await reader.readline()).strip()
            return (await reader.readexactly(int(line[1:]))).strip() if line.startswith(b"$") else line[1:]
        finally:
            writer.close()


def list_flags(redis: Redis, folder: Path) -> list[str]:
    """How it is started."""
    flags = {"port": str(redis.port), "bind": "127.0.0.1", "dir": str(folder), "save": "", "appendonly": "yes"}
    return [part for name, value in flags.items() for part in (f"--{name}", value)]


def find_redis() -> str:
    """The program's path."""
    path = shutil.which("redis-server") or shutil.which("valkey-server")
    if path is None:
        raise StartError("redis-server isn't on the PATH: apt-get install redis-server")
    return path
