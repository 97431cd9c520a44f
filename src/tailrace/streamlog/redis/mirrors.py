"""Logs that other workers write, as far as they are known here: what is published makes them grow.

Notifications may be lost, so none is needed: only the entry that comes next is taken, a gap is read from Redis, and
each log is compared with Redis every second or two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Final

import msgspec
import structlog

from tailrace.errors import StoreError
from tailrace.streamlog.base import Viewer
from tailrace.streamlog.redis import names
from tailrace.streamlog.redis.line import Command, Line
from tailrace.streamlog.redis.listener import Listener
from tailrace.streamlog.redis.records import Found, Header, Run, decode, read_runs
from tailrace.streamlog.ring import RingLog
from tailrace.streamlog.store import tear

QUIET_S: Final = 5.0
"""How long a log that still grows is followed after its last reader here has left."""

_REACH_S: Final = 2.0
_PAGE: Final = 64
_AT_ONCE: Final = 256

_log = structlog.get_logger(__name__)


class MirrorLog(RingLog):
    """A log that another worker writes. `header` says which; `reported` is what its writer was told of the readers.

    `on_audience` is called when its first reader has come or its last one has left, `on_quiet` when nobody came back.
    """

    __slots__ = ("_left_at", "header", "is_gap", "missing_since", "on_audience", "on_quiet", "reported")

    def __init__(self, log_id: str, header: Header) -> None:
        super().__init__(
            log_id,
            owner=header.owner,
            dialect=header.dialect,
            session_id=header.session_id,
            chat_id=header.chat_id,
        )
        self.created_at = header.created_at
        self.header = header
        self.on_audience: Callable[[], None] = _ignore
        self.on_quiet: Callable[[], None] = _ignore
        self.is_gap = False
        self.missing_since: float | None = None
        self.reported = 0
        self._left_at: float | None = None

    def take(self, run: Run) -> bool:
        """Add what is new of a run; False where entries before it are missing here."""
        known = self.tail - run.first + 1
        if self.terminal is not None:
            return True
        if known < 0:
            return False
        if run.torn:
            # Its writer may have told us more than it could keep: what is missing is the end alone
            self.torn = True
            self.append(run.events)
        elif new := run.events[known:]:
            self.append(new)
        return True

    def attach(self, viewer: Viewer) -> None:
        super().attach(viewer)
        if self.viewers == 1:
            self.on_audience()

    def detach(self, viewer: Viewer) -> None:
        before = self.viewers
        super().detach(viewer)
        if before and not self.viewers:
            self.on_audience()

    def tick(self, now: float) -> bool:
        wanted = super().tick(now)
        if self.terminal is not None or self.viewers:
            self._left_at = None
            return wanted
        if self._left_at is None:
            self._left_at = now
        if now - self._left_at < QUIET_S:
            return True
        self.on_quiet()
        return False


class Mirrors:
    """All mirrors of this worker, one for each log however many read it.

    `on_audience` is told of a mirror whose first reader has come, or whose last one has left.
    """

    def __init__(self, line: Line, listener: Listener) -> None:
        self.on_audience: Callable[[MirrorLog], None] | None = None
        self._line = line
        self._listener = listener
        self._mirrors: dict[str, MirrorLog] = {}
        self._strays: set[MirrorLog] = set()
        self._gaps: set[MirrorLog] = set()
        self._work: set[asyncio.Task[None]] = set()

    def get(self, log_id: str) -> MirrorLog | None:
        """The mirror of a log, if there is one that grows."""
        return self._mirrors.get(log_id)

    def running(self) -> list[MirrorLog]:
        """Those that have no end yet."""
        return [*self._mirrors.values(), *self._strays]

    async def follow(self, log_id: str, found: Found) -> MirrorLog:
        """A mirror of a log that runs, with all that is there; `found` may be old by now. Raises StoreError."""
        if (known := self._mirrors.get(log_id)) is not None:
            return known
        log = MirrorLog(log_id, found.header)
        for run in found.runs:
            log.take(run)
        log.on_audience = lambda: self._note_audience(log)
        log.on_quiet = lambda: self._drop(log)
        try:
            await self._subscribe(log)
            await self.read_on([log])
        except BaseException:
            self._drop(log)
            raise
        return log

    async def close(self) -> None:
        """Follow none any more."""
        for task in list(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        self._mirrors.clear()

    async def read_on(self, logs: Iterable[MirrorLog]) -> None:
        """Read what these lack, until they lack nothing. Raises StoreError."""
        due = [log for log in logs if log.terminal is None]
        while due:
            group, due = due[:_AT_ONCE], due[_AT_ONCE:]
            for log in group:
                log.is_gap = False
            pages = await self._line.ask(*(_read_after(log) for log in group))
            due += [log for log, page in zip(group, pages, strict=True) if self._add(log, page)]

    def _add(self, log: MirrorLog, page: Sequence[tuple[bytes, list[bytes]]]) -> bool:
        """Add a page of records; whether there may be more."""
        try:
            whole = all(log.take(run) for run in read_runs(page))
        except msgspec.DecodeError:
            _log.exception("stream_not_readable", stream=log.id)
            whole = False
        if not whole:
            tear(log)  # Redis itself lacks some of it, or it can't be read
        self._see_end(log)
        return log.terminal is None and (len(page) == _PAGE or log.is_gap)

    async def reach(self, log: MirrorLog, seq: int) -> None:
        """Read on until the log holds this entry, or has ended. Raises StoreError where it does not come."""
        deadline = time.monotonic() + _REACH_S
        while log.terminal is None and log.tail < seq:
            if time.monotonic() > deadline:
                raise StoreError(f"entry {seq} of {log.id} is not there yet")
            await self.read_on([log])
            await asyncio.sleep(_REACH_S / 100)

    def give_up(self, log: MirrorLog) -> None:
        """The log is nowhere any more: tell its readers so."""
        if log.terminal is None:
            tear(log)
        self._see_end(log)

    # What is published

    async def _subscribe(self, log: MirrorLog) -> None:
        self._mirrors[log.id] = log
        await self._listener.subscribe(names.channel(log.id), lambda message: self._hear(log, message))

    def _hear(self, log: MirrorLog, message: bytes) -> None:
        try:
            whole = log.take(decode(message))
        except msgspec.DecodeError:
            whole = False
        if not whole:
            log.is_gap = True
            self._gaps.add(log)
            self._start(self._fill_gaps())
        self._see_end(log)

    async def _fill_gaps(self) -> None:
        gaps, self._gaps = self._gaps, set()
        try:
            await self.read_on(gaps)
        except StoreError:
            _log.debug("gap_not_read", streams=[log.id for log in gaps])  # the next look at all of them reads it

    # Coming and going

    def _see_end(self, log: MirrorLog) -> None:
        if log.terminal is not None:
            self._drop(log)

    def _note_audience(self, log: MirrorLog) -> None:
        if log.terminal is None and log.viewers and self._mirrors.get(log.id) is not log:
            # Somebody found it just before it was dropped
            self._strays.add(log)
            self._start(self._read_strays())
        if self.on_audience is not None:
            self.on_audience(log)

    async def _read_strays(self) -> None:
        try:
            await self.read_on(list(self._strays))
        except StoreError:
            _log.debug("streams_not_read")  # the next look at all of them reads them

    def _drop(self, log: MirrorLog) -> None:
        if self._mirrors.get(log.id) is log:
            del self._mirrors[log.id]
            self._listener.unsubscribe(names.channel(log.id))
        self._strays.discard(log)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


def _read_after(log: MirrorLog) -> Command:
    return (b"XRANGE", names.log_key(log.id), b"(1-%d" % log.tail, b"+", b"COUNT", _PAGE)


def _ignore() -> None:
    """Nobody wants to know."""
