"""Logs in this process's memory: they serve the local viewers, and the last minute's readers that come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tailrace.events import Event, Failed, Finished
from tailrace.streamlog.base import StreamLog, Viewer

LINGER_S: Final = 60.0
"""How long a finished log stays in memory after its last viewer has left."""


class RingLog(StreamLog):
    """One generation's entries, in a list: an entry costs its text and about 100 bytes."""

    __slots__ = (
        "_delivered",
        "_events",
        "_remote",
        "_viewers",
        "chat_id",
        "created_at",
        "dialect",
        "id",
        "last",
        "on_abandoned",
        "on_append",
        "owner",
        "quiet_since",
        "session_id",
        "tail",
        "terminal",
        "torn",
    )

    def __init__(
        self, log_id: str, *, owner: str, dialect: str, session_id: str | None, chat_id: str | None = None
    ) -> None:
        self.id = log_id
        self.owner = owner
        self.dialect = dialect
        self.session_id = session_id
        self.chat_id = chat_id
        self.created_at = time.time()
        self.on_abandoned: Callable[[], None] | None = None
        # Whoever keeps it beyond memory: called like a viewer, but it is none
        self.on_append: Callable[[], None] | None = None
        self._events: list[Event] = []
        # Replaced, never changed: a viewer may leave while all are being woken
        self._viewers: tuple[Viewer, ...] = ()
        self._remote = 0
        self.tail = 0
        self.terminal: Finished | Failed | None = None
        self.torn = False
        self.quiet_since: float | None = None  # of one that has ended: when it was first seen without a viewer
        self._delivered = 0

    def append(self, events: Sequence[Event]) -> None:
        if self.terminal is not None:
            raise RuntimeError(f"log {self.id} is sealed")
        self._events += events
        self.tail = len(self._events)
        self.last = last = events[-1]
        # To ask whether it is an instance takes six times as long, for the events' classes have a class of their own
        if type(last) is Finished or type(last) is Failed:
            self.terminal = last
        for viewer in self._viewers:
            viewer.wake()
        if self.on_append is not None:
            self.on_append()

    def read(self, after: int, limit: int) -> Sequence[Event]:
        return self._events[after : after + limit]

    def attach(self, viewer: Viewer) -> None:
        self._viewers = (*self._viewers, viewer)
        self.quiet_since = None

    def detach(self, viewer: Viewer) -> None:
        if viewer not in self._viewers:
            return
        self._delivered = max(self._delivered, viewer.position)
        self._viewers = tuple([other for other in self._viewers if other is not viewer])
        self._see_whether_abandoned()

    def note_remote(self, viewers: int, delivered: int) -> None:
        """Viewers in other processes, as far as they are known: how many, and the furthest entry that any has taken."""
        left = self._remote and not viewers
        self._remote = viewers
        self._delivered = max(self._delivered, min(delivered, self.tail))
        if left:
            self._see_whether_abandoned()

    def _see_whether_abandoned(self) -> None:
        if not self.viewers and self.on_abandoned is not None:
            self.on_abandoned()

    @property
    def delivered(self) -> int:
        return max([self._delivered, *[viewer.position for viewer in self._viewers]])

    @property
    def viewers(self) -> int:
        return len(self._viewers) + self._remote

    def tick(self, now: float) -> bool:
        """Tick the viewers; say whether the log is still wanted in memory."""
        for viewer in self._viewers:
            viewer.tick(now)
        if self.terminal is None or self._viewers:
            return True
        if self.quiet_since is None:
            self.quiet_since = now
        return now - self.quiet_since < LINGER_S


class Ring:
    """All the logs of this process, by id. Of the finished ones without a viewer it keeps `max_idle` at most."""

    def __init__(self, *, max_idle: int = 1024) -> None:
        self._logs: dict[str, RingLog] = {}
        self._max_idle = max_idle

    def create(
        self,
        log_id: str,
        *,
        owner: str = "",
        dialect: str = "",
        session_id: str | None = None,
        chat_id: str | None = None,
    ) -> RingLog:
        """A new, empty log."""
        log = RingLog(log_id, owner=owner, dialect=dialect, session_id=session_id, chat_id=chat_id)
        self._logs[log_id] = log
        return log

    def add(self, log: RingLog) -> None:
        """Hold a log that was made elsewhere."""
        self._logs[log.id] = log

    def get(self, log_id: str) -> RingLog | None:
        """The log with this id, None where memory has it no longer."""
        return self._logs.get(log_id)

    def discard(self, log_id: str) -> None:
        """Let go of a log; its readers keep what they hold."""
        self._logs.pop(log_id, None)

    def sweep(self, now: float) -> None:
        """Tick every viewer and let go of the logs that nobody came back to; `now` is the event loop's clock."""
        idle = 0
        for log in list(self._logs.values()):
            # Of those that linger there are many, and nothing is to be done for them
            lingers = log.quiet_since is not None and now - log.quiet_since < LINGER_S
            if not (lingers or log.tick(now)):
                del self._logs[log.id]
            idle += log.quiet_since is not None
        if idle > self._max_idle:
            self._shed()

    def _shed(self) -> None:
        idle = [log for log in self._logs.values() if log.quiet_since is not None]
        for log in idle[: len(idle) - self._max_idle]:
            del self._logs[log.id]

    def __iter__(self) -> Iterator[RingLog]:
        return iter(list(self._logs.values()))

    def __len__(self) -> int:
        return len(self._logs)
