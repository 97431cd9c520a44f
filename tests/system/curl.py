"""curl as users run it, its output read as it comes."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.upstream import DEADLINE_S


class Curl:
    """A running `curl -N`. `reads` are the pieces that came out of it, each with its monotonic time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.reads: list[tuple[float, str]] = []

    @property
    def output(self) -> str:
        """All that came so far."""
        return "".join(text for _, text in self.reads)

    async def until(self, mark: str) -> None:
        """Read until the output holds `mark`."""
        async with asyncio.timeout(DEADLINE_S):
            while mark not in self.output:
                assert await self._read(), f"curl ended without {mark!r}: {self.output}"

    async def whole(self) -> str:
        """Read to the end and see that curl was content."""
        async with asyncio.timeout(DEADLINE_S):
            while await self._read():
                pass
            assert await self._process.wait() == 0
        return self.output

    async def _read(self) -> bool:
        assert self._process.stdout is not None
        data = await self._process.stdout.read(65536)
        if data:
            self.reads.append((time.monotonic(), data.decode()))
        return bool(data)

    async def end(self) -> None:
        """Stop it, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


@asynccontextmanager
async def curl(*arguments: str) -> AsyncIterator[Curl]:
    """Run `curl -sS -N` with these arguments, and no proxy of the machine's."""
    assert shutil.which("curl"), "curl is missing: install the package curl"
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "-N", *arguments, env=environ, stdout=asyncio.subprocess.PIPE
    )
    running = Curl(process)
    try:
        yield running
    finally:
        await running.end()
