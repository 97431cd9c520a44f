"""One log on its way into Redis: what is to be sent of it next, and what the answer means."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import NoScriptError, ResponseError

from tailrace.streamlog.redis import names
from tailrace.streamlog.redis.line import Command, call, pack
from tailrace.streamlog.redis.records import CREATED, SEALED, encode, encode_header, read_position
from tailrace.streamlog.redis.scripts import APPEND, CREATE, DONE
from tailrace.streamlog.ring import RingLog

LARGEST_RUN: Final = 512
LARGEST_RECORD: Final = 1 << 20
_MOST_LISTED: Final = 10_000
_RUNNING_MS: Final = 86_400_000


class Terms:
    """What holds for all logs of a store. Kept for less than `shortest_s` no reader would see the end of a log."""

    shortest_s: Final = 60.0

    def __init__(self, worker: str, *, keep_s: float, clock: Callable[[], float] = time.time) -> None:
        self.worker = worker
        self.keep_s = max(keep_s, self.shortest_s)
        self.clock = clock

    @property
    def sealed_ms(self) -> int:
        """How long Redis keeps a log that has ended."""
        return round(self.keep_s * 1000)

    @property
    def running_ms(self) -> int:
        """How long it keeps one that nobody adds to any more, nor takes over."""
        return self.sealed_ms + _RUNNING_MS


class Outcome(enum.Enum):
    """What came of what was sent."""

    WRITTEN = enum.auto()
    AGAIN = enum.auto()
    """Redis stands elsewhere than we thought: more is to be sent at once."""
    REFUSED = enum.auto()
    """Redis can't take it now: out of memory, most likely."""
    LOST = enum.auto()
    """Another worker has taken the log over."""


class Writing:
    """A log that this worker writes. `written` is how many entries are in Redis, for sure.

    The ring is the buffer: what could not be sent is still in it, and goes out when Redis is back, from wherever Redis
    then stands, from the very beginning if need be.
    """

    __slots__ = ("_channel", "_created", "_key", "_last", "_sealed", "_sending", "_terms", "log", "queued", "written")

    def __init__(self, log: RingLog, terms: Terms) -> None:
        # For its whole life
        self.log = log
        self._terms = terms
        self._key = names.log_key(log.id)
        self._channel = names.channel(log.id)
        # What Redis has
        self._created = False
        self._last = CREATED
        self.written = 0
        self._sealed = False
        # What is under way: the number of its last entry, and whether that is the log's end
        self._sending: tuple[int, bool] | None = None
        self.queued = False

    @property
    def behind(self) -> bool:
        """There is more of it than Redis has."""
        return self.written < self.log.tail or not self._created

    def owes(self, tail: int) -> bool:
        """Redis has not yet all that there was when there were so many entries."""
        return self.written < tail or not self._created

    @property
    def done(self) -> bool:
        """Redis has all of it, and its end."""
        return self._sealed

    def next_commands(self) -> list[bytes]:
        """What is to be sent now; the last of the replies is for `take`."""
        if self.written >= self.log.tail and self._created:
            self._sending = None
            return [pack(self._probe())]
        opening = [] if self._created else self._open()
        return [*opening, *([self._append()] if self.written < self.log.tail else [])]

    def take(self, reply: Any) -> Outcome:
        """What the last reply says."""
        if isinstance(reply, NoScriptError):
            return Outcome.AGAIN
        if isinstance(reply, ResponseError):
            return Outcome.REFUSED
        if reply == DONE:
            self._note_sent()
            return Outcome.WRITTEN
        return self._find_place(reply)

    def _open(self) -> list[bytes]:
        """Names first: an id whose log is missing does no harm, and a log that no list knows is lost."""
        log, terms = self.log, self._terms
        self._sending = (0, False)
        self._last = CREATED
        commands: list[Command] = [(b"SADD", names.running_key(terms.worker), log.id)]
        for index in self._indexes():
            commands += [
                (b"ZADD", index, repr(log.created_at), log.id),
                (b"ZREMRANGEBYRANK", index, 0, -_MOST_LISTED - 1),
                (b"PEXPIRE", index, terms.running_ms),
            ]
        commands.append(call(CREATE, self._key, encode_header(log, terms.worker), terms.running_ms))
        return [pack(command) for command in commands]

    def _indexes(self) -> list[bytes]:
        log = self.log
        own = [names.EVERYONE, names.owner_key(log.owner)]
        return own if log.chat_id is None else [*own, names.chat_key(log.owner, log.chat_id)]

    def _append(self) -> bytes:
        log, terms = self.log, self._terms
        last, run = self._next_run()
        ends = log.terminal is not None and last == log.tail
        self._sending = (last, ends)
        life = terms.sealed_ms if ends else terms.running_ms
        return pack(call(APPEND, self._key, self._channel, life, self._last, _record_id(last, ends), run))

    def _next_run(self) -> tuple[int, bytes]:
        """As many of the next entries as make a record of a fair size, and the number of the last of them."""
        events = self.log.read(self.written, LARGEST_RUN)
        run = encode(self.written + 1, events, now=self._terms.clock())
        while len(run) > LARGEST_RECORD and len(events) > 1:
            events = events[: len(events) // 2]
            run = encode(self.written + 1, events, now=self._terms.clock())
        return self.written + len(events), run

    def _probe(self) -> Command:
        """An append that is always refused, by the id of the last record."""
        return call(APPEND, self._key, self._channel, 0, b"", b"", b"")

    def _note_sent(self) -> None:
        self._created = True
        if self._sending is not None:
            last, ends = self._sending
            self.written, self._sealed = last, ends
            self._last = _record_id(last, ends)

    def _find_place(self, last: bytes) -> Outcome:
        """Go on from where Redis stands: it may have had what we did not know of, or have lost what we thought."""
        if not last:
            self._created, self.written = False, 0
            return Outcome.AGAIN
        position = read_position(last)
        if position.epoch > 1:
            return Outcome.LOST
        self._created, self._last = True, last
        self._sealed = position.number == SEALED
        self.written = self.log.tail if self._sealed else position.number
        return Outcome.AGAIN if self.behind else Outcome.WRITTEN


def _record_id(last: int, ends: bool) -> bytes:
    return b"1-%d" % (SEALED if ends else last)
