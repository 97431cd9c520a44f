"""The AI SDK itself, in a Node process of its own that answers one command after another, or several at once."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.upstream import DEADLINE_S

SCRIPTS: Final = Path(__file__).parents[2] / "js"
_LONGEST_LINE: Final = 16 << 20


class SDK:
    """What `tests/js/ai_sdk.mjs` can do, as calls."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._asked = 0
        self._reading = asyncio.create_task(self._read())

    async def ask(self, command: str, **options: Any) -> Any:
        """Run a command; what it came to. Fails the test where the command itself throws."""
        self._asked += 1
        answer = self._waiting[self._asked] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": self._asked, "command": command, **options})
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(DEADLINE_S):
            return await answer

    async def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(DEADLINE_S):
            await self._process.wait()
            await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"])
            if waiting.cancelled():
                continue
            if "error" in answer:
                waiting.set_exception(AssertionError(answer["error"]))
            else:
                waiting.set_result(answer.get("result"))
        for waiting in self._waiting.values():
            waiting.set_exception(AssertionError("the AI SDK's process has ended"))


@asynccontextmanager
async def running_sdk(script: str = "ai_sdk.mjs") -> AsyncIterator[SDK]:
    """Run the AI SDK, or what else a script of `tests/js` makes of its commands, and end it."""
    node = shutil.which("node")
    assert node is not None, "node is not on the path: make test puts it there"
    process = await asyncio.create_subprocess_exec(
        *(node, str(SCRIPTS / script)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
    )
    sdk = SDK(process)
    try:
        yield sdk
    finally:
        await sdk.close()
