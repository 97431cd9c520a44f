"""A program of its own that says where it listens."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.upstream import DEADLINE_S

_URL: Final = re.compile(r"http://[\w.]+:(\d+)")
_START_S: Final = 60.0
_FOREIGN: Final = ("TAILRACE_", "OPENAI_", "ANTHROPIC_", "OLLAMA_")


class Program:
    """The running program. `url` is where it listens, `lines` what it printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())
        self.lines: list[str] = []
        self.url = ""

    async def start(self) -> None:
        """Wait until it says where it listens."""
        async with asyncio.timeout(_START_S):
            self.url = await self._listening

    async def end(self) -> None:
        """End it, if it still runs."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode("utf-8", "replace"))
            if not self._listening.done() and (found := _URL.search(self.lines[-1])):
                self._listening.set_result(f"http://127.0.0.1:{found[1]}")
        if not self._listening.done():
            self._listening.set_exception(AssertionError("it ended without a start:\n" + "".join(self.lines)))


@asynccontextmanager
async def program(*command: str, cwd: Path, env: Mapping[str, str] = MappingProxyType({})) -> AsyncIterator[Program]:
    """Run it in `cwd` with these variables and none of the machine's own settings, and end it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**inherited, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Program(process)
    try:
        await running.start()
        yield running
    finally:
        await running.end()
