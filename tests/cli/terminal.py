"""A command on a terminal of its own, which a test types into and reads from."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from tests.cli.conftest import DEADLINE_S, environment
from tests.waiting import until

_STYLE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What the command shows, as text without colours in `text`; `raw` is what it wrote."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process = process
        self._master = master
        self.raw = b""

    @property
    def text(self) -> str:
        return _STYLE.sub("", self.raw.decode("utf-8", "replace")).replace("\r", "")

    def type(self, keys: str) -> None:
        """Press these keys; `\\x03` is Ctrl-C, `\\x04` Ctrl-D."""
        os.write(self._master, keys.encode())

    async def shows(self, text: str, times: int = 1) -> None:
        """Wait until this has been shown so often."""
        await until(lambda: self.text.count(text) >= times)

    async def ended(self) -> int:
        """Wait for its end, and return the exit status."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._process.wait()

    def read(self) -> None:
        """Take what is there to be read."""
        with contextlib.suppress(OSError):
            self.raw += os.read(self._master, 65536)


@contextlib.asynccontextmanager
async def terminal(folder: Path, *arguments: str, environ: Mapping[str, str]) -> AsyncIterator[Terminal]:
    """Run `tailrace` with these arguments on a terminal of 80 by 24, and end it."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *("setsid", "--ctty", sys.executable, "-m", "tailrace", *arguments),
        cwd=folder,
        env={**environment(folder, environ), "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = Terminal(process, master)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, shown.read)
    try:
        yield shown
    finally:
        loop.remove_reader(master)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(master)
