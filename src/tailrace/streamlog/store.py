"""The contract of what keeps logs beyond memory: for readers that come back late, or after the process died."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

from tailrace.errors import StreamError
from tailrace.events import Event, Failed, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, UsageReported
from tailrace.streamlog.faces import Face
from tailrace.streamlog.ring import RingLog

OnFlush: TypeAlias = Callable[[Literal["sqlite", "redis"], Literal["written", "failed"]], None]
"""Is told how each write to a store came out."""

Mark: TypeAlias = tuple[float, str]
"""Where a list of logs goes on: behind the one made then, with this id."""

_LOST: Final = "the rest of this answer was lost: the server that made it stopped, or could not keep it"


class Author(Protocol):
    """Who writes the logs that a store follows. Each is called with a log's id; none blocks or raises."""

    def stop(self, log_id: str) -> None:
        """Somebody wants this one cancelled."""

    def lose(self, log_id: str) -> None:
        """Another process has sealed it: nothing that is appended will be kept, and its row is another's."""

    def inherit(self, log_id: str) -> None:
        """This process has sealed the log of one that is held to be dead: its row is to be settled here."""


class LogStore(ABC):
    """Keeps one process's logs, and finds those that its memory has not.

    Local viewers always read a log in memory; no token waits for a store. What is appended to a kept log can be found
    elsewhere, or by the next process, at most about 100 ms later. A store that can't be written says so once, loses
    nothing that memory still has, and goes on where it stopped when it can be written again.

    Every method is called on the event loop that ran `open`; all but `keep` from `open`'s return to `close`'s call.
    """

    @abstractmethod
    async def open(self) -> None:
        """Get ready, and seal as torn what processes left behind that are dead. Raises SettingsError."""

    @abstractmethod
    async def close(self) -> None:
        """Write what is still to be written, and let go. The logs that it follows are sealed by then."""

    @abstractmethod
    def keep(self, log: RingLog) -> None:
        """Follow a new, empty log that this process writes, up to its terminal. Never blocks, never raises."""

    def serve(self, author: Author) -> None:  # noqa: B027 - most stores belong to one process
        """Tell `author` what other processes do to its logs; where there are no others, nothing."""

    async def confirm(self, log: RingLog) -> None:  # noqa: B027
        """Before a log's row is settled: where others may hold this process to be dead, see whether the log is ours.

        If it is not, `Author.lose` has been called when this returns. Never raises, and never takes long.
        """

    async def reach(self, log: RingLog, seq: int) -> None:  # noqa: B027
        """Wait a moment until a log that another process writes has grown to this entry, or has ended.

        Raises StoreError where it does not.
        """

    async def cancel(self, log: RingLog) -> None:  # noqa: B027
        """Have a log stopped that another process writes. Raises StoreError where it can't be asked."""

    async def forget(self, log_id: str) -> None:  # noqa: B027
        """Delete a log that has ended; one that is not kept is ignored.

        What other processes hold of it in memory goes when its readers have gone. Raises StoreError.
        """

    @abstractmethod
    async def find(self, log_id: str) -> RingLog | None:
        """A log as far as it is kept; None where it never was, or is kept no longer.

        One whose writer lives in another process grows as that one writes. One whose writer is gone without a terminal
        is torn: it ends in `Failed("interrupted")`. Call it for logs that memory has not: each call gives a log of its
        own. Raises StoreError where the store does not answer.
        """

    @abstractmethod
    async def list(
        self, owner: str | None, *, limit: int, after: Mark | None = None, chat_id: str | None = None
    ) -> Sequence[Face]:
        """The owner's logs, everyone's for None, newest first, those that run too as far as they are written.

        `after` leaves out all down to this place, `chat_id` all that are not of this chat. Raises StoreError where the
        store does not answer.
        """

    @abstractmethod
    async def flush(self) -> None:
        """See that all that was appended to kept logs is written now, unless the store can't be written."""


class MemoryStore(LogStore):
    """Keeps nothing: a log lives as long as memory has it."""

    async def open(self) -> None:
        """There is nothing to get ready."""

    async def close(self) -> None:
        """There is nothing to write."""

    def keep(self, log: RingLog) -> None:
        """It is in memory."""

    async def find(self, log_id: str) -> RingLog | None:
        return None

    async def list(
        self, owner: str | None, *, limit: int, after: Mark | None = None, chat_id: str | None = None
    ) -> Sequence[Face]:
        return ()

    async def flush(self) -> None:
        """There is nothing to write."""


def tear(log: RingLog) -> None:
    """Seal a log whose writer is gone: its readers may have seen more than it holds."""
    log.torn = True
    log.append(ending_of_torn(log.read(0, log.tail)))


def ending_of_torn(events: Sequence[Event]) -> list[Event]:
    """The last two entries of a torn log that holds these events; the true figures are the ledger's."""
    deltas = sum(isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta, ToolCallDelta)) for event in events)
    return [UsageReported(output_tokens=deltas, source="estimated"), torn_terminal()]


def torn_terminal() -> Failed:
    """How a torn log ends."""
    return Failed.of(StreamError("interrupted", _LOST))
