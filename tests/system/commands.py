"""The command line, run to its end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence

import msgspec
from tests.upstream import DEADLINE_S

_FOREIGN = ("TAILRACE_", "OPENAI_", "ANTHROPIC_", "OLLAMA_", "STRIPE_")


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a command."""

    status: int
    out: str
    err: str


async def run(*arguments: str, env: Mapping[str, str], under: Sequence[str] = ()) -> Ran:
    """Run `tailrace` with these arguments and variables; `under` is a program that starts it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    process = await asyncio.create_subprocess_exec(
        *(*under, sys.executable, "-m", "tailrace", *arguments),
        env={**inherited, "PYTHONWARNINGS": "error", **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode is not None
    return Ran(status=process.returncode, out=out.decode(), err=err.decode())
