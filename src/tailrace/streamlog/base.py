"""The ordered truth about one generation: what was said, in which order, and how it ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from tailrace.events import Entry, Event, Failed, Finished


class Viewer(Protocol):
    """Whoever reads a log as it grows. It keeps its own place; the log only says that there is more."""

    @property
    def position(self) -> int:
        """The number of the last entry that it has taken."""

    def wake(self) -> None:
        """There are new entries. Called from within `append`: never blocks, never raises."""

    def tick(self, now: float) -> None:
        """About a second has passed; `now` is the event loop's clock. Never blocks, never raises."""


class StreamLog(ABC):
    """Entries numbered from 1 without a gap. One writer; any number of viewers, none of which holds it up.

    `owner` may read it, `dialect` names the format it was asked for in, `session_id` its session, `chat_id` the name by
    which its client finds it again. `created_at` is Unix time in seconds, `tail` the number of the last entry (0 where
    there is none), `last` that entry, `terminal` how it ended (None while it runs). `torn`: it was sealed because its
    writer is gone, so that readers may have seen more than it holds. `on_abandoned` is called each time the last viewer
    has left.
    """

    __slots__ = ()

    id: str
    owner: str
    dialect: str
    session_id: str | None
    chat_id: str | None
    created_at: float
    tail: int
    last: Event
    terminal: Finished | Failed | None
    torn: bool
    on_abandoned: Callable[[], None] | None

    @abstractmethod
    def append(self, events: Sequence[Event]) -> None:
        """Add events and wake the viewers, in one turn of the event loop.

        A terminal event seals the log. Raises RuntimeError if it is sealed already: nothing follows a terminal.
        """

    @abstractmethod
    def read(self, after: int, limit: int) -> Sequence[Event]:
        """Up to `limit` events that follow entry `after`, the first being entry `after + 1`."""

    @abstractmethod
    def attach(self, viewer: Viewer) -> None:
        """From now on wake and tick this viewer."""

    @abstractmethod
    def detach(self, viewer: Viewer) -> None:
        """No longer; a viewer that is not attached is ignored."""

    @property
    @abstractmethod
    def delivered(self) -> int:
        """The furthest entry that any viewer has taken, those that left included."""

    @property
    @abstractmethod
    def viewers(self) -> int:
        """How many viewers are attached."""


def entries(log: StreamLog, after: int = 0) -> list[Entry]:
    """All that the log holds after entry `after`, each event with its number."""
    events = log.read(after, log.tail - after)
    return [Entry(seq=after + place, event=event) for place, event in enumerate(events, 1)]
