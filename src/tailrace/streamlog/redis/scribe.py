"""Writes this worker's logs to Redis, in groups: what comes while one is under way goes with the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from tailrace.errors import StoreError
from tailrace.streamlog.redis import names
from tailrace.streamlog.redis.line import Command, Line
from tailrace.streamlog.redis.writing import Outcome, Terms, Writing
from tailrace.streamlog.ring import LINGER_S, RingLog
from tailrace.streamlog.store import OnFlush

GATHER_S: Final = 0.008
"""From one group to the next: under load a few milliseconds' tokens go together, alone a token goes at once."""

RETRY_S: Final = 0.25
_LONGEST_RETRY_S: Final = 2.0
_GROUP: Final = 256
_GROUP_BYTES: Final = 8 << 20

_log = structlog.get_logger(__name__)


class Scribe:
    """Keeps this worker's lease, and appends what its logs say, one append in flight for each.

    `on_lost` is told of a log that another worker has taken over. `given_up` are those whose end could not be written
    for so long that memory lets them go.
    """

    def __init__(
        self,
        line: Line,
        terms: Terms,
        *,
        lease_s: float,
        on_flush: OnFlush,
        on_lost: Callable[[RingLog], None],
    ) -> None:
        # For its whole life
        self._line = line
        self._terms = terms
        self._lease_s = lease_s
        self._on_flush = on_flush
        self._on_lost = on_lost
        # While it is open
        self._busy = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        # As it goes
        self.given_up: set[str] = set()
        self._writings: dict[str, Writing] = {}
        self._due: deque[Writing] = deque()
        self._ended: dict[str, float] = {}
        self._finished: list[str] = []
        self._renewed_at = float("-inf")
        self._turn: asyncio.Future[None] | None = None
        self._failures = 0

    async def open(self) -> None:
        """Take the lease and begin to write. Raises StoreError."""
        await self._renew()
        self.start()

    def start(self) -> None:
        """Write what there is, and keep the lease."""
        self._tasks = [
            asyncio.create_task(self._keep_writing(), name="redis:write"),
            asyncio.create_task(self._keep_waking(), name="redis:lease"),
        ]

    async def stop(self) -> None:
        """Write nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def keep(self, log: RingLog) -> None:
        """Follow a log of this worker's from now on."""
        writing = self._writings[log.id] = Writing(log, self._terms)
        log.on_append = lambda: self._queue(writing)
        self._queue(writing)

    def get(self, log_id: str) -> RingLog | None:
        """A log that is still to be written, or to go on."""
        writing = self._writings.get(log_id)
        return None if writing is None else writing.log

    def logs(self) -> list[RingLog]:
        """Those that are followed."""
        return [writing.log for writing in self._writings.values()]

    async def flush(self) -> None:
        """See that what there is now is written, unless Redis can't be written."""
        due = {writing: writing.log.tail for writing in self._writings.values() if writing.behind}
        while due:
            await self._next_turn()
            if self._failures:
                return
            due = {one: tail for one, tail in due.items() if one.log.id in self._writings and one.owes(tail)}

    async def confirm(self, log_id: str) -> None:
        """After a silence of our own, in which we may have been held to be dead, see whether this log is still ours.

        While Redis is away nobody can say, and nobody can take it over.
        """
        if not self._has_lapsed():
            return
        self._busy.set()
        while (writing := self._writings.get(log_id)) is not None and (writing.queued or self._has_lapsed()):
            await self._next_turn()
            if self._failures:
                return

    def _has_lapsed(self) -> bool:
        return asyncio.get_running_loop().time() - self._renewed_at > self._lease_s

    # Writing

    def _queue(self, writing: Writing) -> None:
        if not writing.queued:
            writing.queued = True
            self._due.append(writing)
            self._busy.set()

    def _queue_all(self) -> None:
        """What we know of Redis may be wrong: ask it where each log stands."""
        for writing in self._writings.values():
            self._queue(writing)

    async def _keep_waking(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 10)
            self._busy.set()

    async def _keep_writing(self) -> None:
        while True:
            await self._busy.wait()
            self._busy.clear()
            pause = GATHER_S
            try:
                await self._write()
            except Exception as error:
                self._put_off(error)
                self._queue_all()
                pause = min(_LONGEST_RETRY_S, RETRY_S * self._failures)
            self._end_turn()
            await asyncio.sleep(pause)

    async def _write(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._failures or self._has_lapsed():
            # Others may hold us to be dead: renew before anything is written, and see what is still ours
            await self._renew()
            self._queue_all()
        elif now - self._renewed_at >= self._lease_s / 5 - GATHER_S:
            await self._renew()
        if self._due:
            await self._write_group()
        if self._due:
            self._busy.set()
        self._note(None)

    async def _write_group(self) -> None:
        group: list[tuple[Writing, int]] = []
        packed: list[bytes] = []
        size = 0
        while self._due and len(group) < _GROUP and size < _GROUP_BYTES:
            writing = self._due.popleft()
            writing.queued = False
            commands = writing.next_commands()
            group.append((writing, len(commands)))
            packed += commands
            size += len(commands[-1])
        replies = iter(await self._line.exchange(packed, len(packed)))
        refusal: Any = None
        for writing, sent in group:
            reply = [next(replies) for _ in range(sent)][-1]
            if self._take(writing, reply) is Outcome.REFUSED:
                refusal = reply
        if refusal is not None:
            raise StoreError(f"Redis: {refusal}")
        self._on_flush("redis", "written")

    def _take(self, writing: Writing, reply: Any) -> Outcome:
        outcome = writing.take(reply)
        if outcome is Outcome.LOST:
            self._let_go(writing)
            self._on_lost(writing.log)
        elif writing.done:
            self._let_go(writing)
            self._finished.append(writing.log.id)
        elif outcome is Outcome.AGAIN or (outcome is Outcome.WRITTEN and writing.behind):
            self._queue(writing)
        return outcome

    async def _renew(self) -> None:
        now = asyncio.get_running_loop().time()
        finished = list(self._finished)
        await self._line.ask(*self._lease(finished))
        del self._finished[: len(finished)]
        self._renewed_at = now

    def _lease(self, finished: Sequence[str]) -> list[Command]:
        worker = self._terms.worker
        lease: list[Command] = [
            (b"SET", names.lease_key(worker), b"", b"PX", round(self._lease_s * 1000)),
            (b"SADD", names.WORKERS, worker),
        ]
        return [*lease, (b"SREM", names.running_key(worker), *finished)] if finished else lease

    # What can't be written

    def _put_off(self, error: Exception) -> None:
        """Answers go on. Logs that ended wait as long as memory would keep them, then they are given up."""
        self._failures += 1
        self._on_flush("redis", "failed")
        self._note(error)
        now = asyncio.get_running_loop().time()
        for writing in list(self._writings.values()):
            log = writing.log
            if log.terminal is not None and now - self._ended.setdefault(log.id, now) >= LINGER_S:
                self._let_go(writing)
                self.given_up.add(log.id)

    def _let_go(self, writing: Writing) -> None:
        writing.log.on_append = None
        self._writings.pop(writing.log.id, None)
        self._ended.pop(writing.log.id, None)
        if writing.queued:
            self._due.remove(writing)
            writing.queued = False

    def _note(self, trouble: Exception | None) -> None:
        """Say once that streams are not kept, and once that they are again."""
        if trouble is not None and self._failures == 1:
            unexpected = not isinstance(trouble, StoreError)
            _log.error("streams_not_kept", store="redis", error=str(trouble), exc_info=unexpected)
        elif trouble is None and self._failures:
            _log.warning("streams_kept_again", store="redis")
            self._failures = 0

    # Turns, for who waits for them

    def _next_turn(self) -> asyncio.Future[None]:
        if self._turn is None:
            self._turn = asyncio.get_running_loop().create_future()
        return self._turn

    def _end_turn(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)
        self._turn = None
