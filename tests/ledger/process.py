"""Starts processes with a ledger of their own, tells them what to do, and kills them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tailrace.ledger import Count, Opening
from tailrace.settings import Settings

DEADLINE_S: Final = 30.0

_ROOT: Final = Path(__file__).parents[2]


class LedgerProcess:
    """One of them, which has opened its ledger or has been refused."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begin(self, openings: Sequence[Opening]) -> list[str]:
        """Open these all at once: "opened", the id that was joined, or an error's code for each."""
        answer: list[str] = await self.do("begin", msgspec.to_builtins(openings))
        return answer

    async def checkpoint(self, counts: dict[str, Count]) -> None:
        """Note these counts."""
        await self.do("checkpoint", msgspec.to_builtins(counts))

    async def sweep(self) -> list[str]:
        """Sweep."""
        answer: list[str] = await self.do("sweep", None)
        return answer

    async def do(self, order: str, given: Any) -> Any:
        """Give an order and await the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({order: given}).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> Any:
        """The next thing that it says."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            line = await self._process.stdout.readline()
        assert line, "the process has ended without an answer"
        return json.loads(line)

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


@contextlib.asynccontextmanager
async def ledger_process(settings: Settings) -> AsyncIterator[LedgerProcess]:
    """Start one; it is killed in the end."""
    url = settings.database_url
    said = {
        "data_dir": str(settings.data_dir),
        "database_url": url.reveal() if url else None,
        "shared": settings.redis_url is not None,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.ledger.worker",
        json.dumps(said),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        limit=2**20,
    )
    started = LedgerProcess(process)
    try:
        yield started
    finally:
        await started.kill()


@contextlib.asynccontextmanager
async def opened_process(settings: Settings) -> AsyncIterator[LedgerProcess]:
    """Start one and wait until its ledger is open."""
    async with ledger_process(settings) as process:
        assert await process.answer() == "open"
        yield process
