"""Settlements that wait on disk while the database is down: a file of JSON lines for each process.

The file is held like a lock, so that what a dead process left behind is found and adopted by the next. A line that is
read twice settles once: settling asks whether the row still runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from tailrace.ledger.base import Settlement
from tailrace.ledger.locks import LockFile

_SUFFIX: Final = ".jsonl"
_log = structlog.get_logger(__name__)


class Spooled(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement, with the owner under whose name its row is."""

    owner: str
    settlement: Settlement


_LINE: Final = msgspec.json.Decoder(Spooled)


class Spool:
    """What waits, in memory and on disk. Where the disk takes nothing either, it waits in memory alone."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._file = LockFile(folder / f"{name}{_SUFFIX}")
        self._adopted: list[LockFile] = []
        self._waiting: dict[str, Spooled] = {}
        self._unwritten: list[Spooled] = []
        self._writing: asyncio.Task[None] | None = None
        self._files = asyncio.Lock()

    @property
    def waiting(self) -> list[Spooled]:
        """All that waits, oldest first."""
        return list(self._waiting.values())

    def __contains__(self, generation_id: str) -> bool:
        return generation_id in self._waiting

    def add(self, spooled: Spooled) -> None:
        """Let it wait. It is on disk when `written` returns."""
        self._waiting[spooled.settlement.id] = spooled
        self._unwritten.append(spooled)
        self.write()

    def write(self) -> None:
        """Begin to put on disk what is not there yet."""
        if self._unwritten and self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="ledger-spool")

    async def written(self) -> None:
        """Wait until all that was added is on disk, or has failed to get there."""
        while self._writing is not None:
            await asyncio.wait((self._writing,))

    async def settled(self, generation_id: str) -> None:
        """It waits no longer; the files go with the last."""
        self._waiting.pop(generation_id, None)
        async with self._files:
            if not self._waiting:
                self._unwritten.clear()
                await asyncio.to_thread(self._remove)

    async def adopt(self) -> None:
        """Take over what dead processes left behind."""
        async with self._files:
            for spooled in await asyncio.to_thread(self._adopt):
                self._waiting.setdefault(spooled.settlement.id, spooled)
            if self._adopted and not self._waiting:
                await asyncio.to_thread(self._remove)

    async def close(self) -> None:
        """Let go of the files; what still waits stays in them."""
        await self.written()
        for file in (self._file, *self._adopted):
            file.release()

    async def _write(self) -> None:
        try:
            async with self._files:
                while self._unwritten:
                    group = tuple(self._unwritten)
                    await asyncio.to_thread(self._append, group)
                    self._unwritten = self._unwritten[len(group) :]
        except OSError as error:
            _log.error("spool_not_written", path=str(self._file.path), error=str(error))
        finally:
            self._writing = None

    def _append(self, group: Iterable[Spooled]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._file.held:
            self._file.take()
        # A line of its own, whatever a write that failed has left before it.
        self._file.append(b"\n" + b"".join(msgspec.json.encode(spooled) + b"\n" for spooled in group))

    def _remove(self) -> None:
        for file in (self._file, *self._adopted):
            file.release(remove=True)
        self._adopted.clear()

    def _adopt(self) -> list[Spooled]:
        found: list[Spooled] = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            file = LockFile(path)
            try:
                if file.take(create=False):
                    self._adopted.append(file)
                    found += _read(file)
            except OSError as error:
                _log.error("spool_not_read", path=str(path), error=str(error))
        return found


def _read(file: LockFile) -> list[Spooled]:
    """The whole lines of a file; one that was cut off by a crash was never promised."""
    found = []
    for line in file.read().split(b"\n"):
        try:
            found += [_LINE.decode(line)] if line else []
        except msgspec.DecodeError as error:
            _log.error("spool_line_not_read", path=str(file.path), error=str(error))
    return found
