"""Logs kept in SQLite, in the data folder: memory serves, the file follows in groups."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import msgspec
import structlog

from tailrace.errors import SettingsError, StoreError
from tailrace.streamlog.faces import Face, face_of
from tailrace.streamlog.group import Followed, Written
from tailrace.streamlog.logfile import LogFile, Wanted
from tailrace.streamlog.ring import LINGER_S, RingLog
from tailrace.streamlog.store import LogStore, Mark, OnFlush

FLUSH_S: Final = 0.08
"""From one group to the next: with its commit an entry is in the file within 100 ms."""

RETRY_S: Final = 1.0
PRUNE_S: Final = 10.0
_GROUP: Final = 256

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger(__name__)


class SqliteStore(LogStore):
    """`keep_s` after its end a log goes, earlier where all of them take more than `keep_size` bytes.

    `on_flush` is told of each group that was written, or was not.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep_s: float,
        keep_size: int,
        on_flush: OnFlush = lambda *_: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # For its whole life
        self._path = path
        self._keep_s = keep_s
        self._keep_size = keep_size
        self._on_flush = on_flush
        self._clock = clock
        self._file = LogFile(path)
        # While it is open
        self._thread: ThreadPoolExecutor
        self._tasks: list[asyncio.Task[None]]
        self._busy: asyncio.Event
        # As it goes
        self._followed: dict[str, Followed] = {}
        self._ended: dict[str, float] = {}
        self._given_up: list[Written] = []
        self._troubled = False

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="streamlog")
        try:
            await self._run(self._file.open, self._clock())
        except (sqlite3.Error, OSError) as error:
            await self._run(self._file.close)
            self._thread.shutdown()
            raise self._refusal(error) from error
        self._busy = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._keep_flushing(), name="streamlog:flush"),
            asyncio.create_task(self._keep_pruning(), name="streamlog:prune"),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.flush()
        await self._run(self._file.close)
        self._thread.shutdown()
        self._followed.clear()

    def keep(self, log: RingLog) -> None:
        self._followed[log.id] = Followed(log)
        self._busy.set()

    async def find(self, log_id: str) -> RingLog | None:
        if (one := self._followed.get(log_id)) is not None:
            return one.log
        with self._answering():
            try:
                return await self._run(self._file.read, log_id, oldest=self._oldest())
            except msgspec.DecodeError:
                _log.exception("stream_not_readable", stream=log_id)
                return None

    async def list(
        self, owner: str | None, *, limit: int, after: Mark | None = None, chat_id: str | None = None
    ) -> Sequence[Face]:
        wanted = Wanted(owner=owner, chat_id=chat_id, after=after, limit=limit, oldest=self._oldest())
        with self._answering():
            sealed = await self._run(self._file.list, wanted)
        running = [face_of(one.log) for one in self._followed.values() if wanted.admits(one.log)]
        faces = {face.id: face for face in (*sealed, *running)}
        return sorted(faces.values(), key=lambda face: (face.created_at, face.id), reverse=True)[:limit]

    async def forget(self, log_id: str) -> None:
        await self.flush()
        with self._answering():
            await self._run(self._file.forget, log_id)
        if (one := self._followed.get(log_id)) is not None:
            self._let_go(one)

    async def flush(self) -> None:
        # Of what is appended meanwhile nothing: under load there would be no end
        due = {one: one.log.tail for one in self._followed.values() if one.behind}
        while (due or self._given_up) and await self._write(list(due)[:_GROUP]):
            due = {one: tail for one, tail in due.items() if not one.written.number or one.written.tail < tail}

    async def prune(self) -> None:
        """Delete what is too old or too much, in small pieces, so that nothing waits long for the thread."""
        try:
            while await self._run(self._file.prune, oldest=self._oldest(), most_bytes=self._keep_size):
                pass
        except (sqlite3.Error, OSError) as error:
            self._note(error)

    # Flushing

    async def _keep_flushing(self) -> None:
        while True:
            await self._busy.wait()
            await asyncio.sleep(FLUSH_S if not self._troubled else RETRY_S)
            await self.flush()
            if not self._followed and not self._given_up:
                self._busy.clear()

    async def _keep_pruning(self) -> None:
        while True:
            await self.prune()
            await asyncio.sleep(PRUNE_S)

    async def _write(self, group: Sequence[Followed]) -> bool:
        """Write what there is of these; whether that was possible."""
        given_up, self._given_up = self._given_up, []
        try:
            await self._run(self._file.write, group, given_up, self._clock())
        except Exception as error:
            self._given_up += given_up
            self._put_off(error)
            return False
        self._on_flush("sqlite", "written")
        self._note(None)
        for one in group:
            if one.log.terminal is not None and not one.behind:
                self._let_go(one)
        return True

    def _put_off(self, error: Exception) -> None:
        """Streams go on. Logs that ended wait as long as memory would keep them, then they are given up."""
        self._on_flush("sqlite", "failed")
        self._note(error)
        now = self._clock()
        for one in list(self._followed.values()):
            if one.log.terminal is None or now - self._ended.setdefault(one.log.id, now) < LINGER_S:
                continue
            self._let_go(one)
            if one.written.number:
                self._given_up.append(one.written)

    def _let_go(self, one: Followed) -> None:
        self._followed.pop(one.log.id, None)
        self._ended.pop(one.log.id, None)

    def _note(self, trouble: Exception | None) -> None:
        """Say once that streams are not kept, and once that they are again."""
        if trouble is not None and not self._troubled:
            unexpected = not isinstance(trouble, (sqlite3.Error, OSError))
            _log.error("streams_not_kept", path=str(self._path), error=str(trouble), exc_info=unexpected)
        elif trouble is None and self._troubled:
            _log.warning("streams_kept_again", path=str(self._path))
        self._troubled = trouble is not None

    # The rest

    def _oldest(self) -> float:
        return self._clock() - self._keep_s

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"SQLite: {error}") from error

    def _refusal(self, error: Exception) -> SettingsError:
        remedy = 'set TAILRACE_REDIS_URL, or keep no streams ([stream] keep = "0s")'
        if "locked" in str(error):
            message = f"another tailrace keeps its streams in {self._path}: give this one a folder of its own, {remedy}"
        else:
            message = f"streams can't be kept in {self._path}: {error}; choose another folder, {remedy}"
        return SettingsError(message, where="TAILRACE_DATA_DIR")

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))
