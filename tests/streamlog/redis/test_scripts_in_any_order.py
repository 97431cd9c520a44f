"""Two writers and those who take over, in any order, on a real Redis: a log has one truth and one end.

The model knows nothing of records and ids: it holds what was said, who may write, and how it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from tests.streamlog.redis.shelf import empty, shared_redis
from tests.streamlog.specimens import END, STARTED, texts

from tailrace.streamlog import RingLog
from tailrace.streamlog.redis import names
from tailrace.streamlog.redis.line import Line, Redis
from tailrace.streamlog.redis.reading import Reading, events_of
from tailrace.streamlog.redis.records import Found, decode
from tailrace.streamlog.redis.takeover import Takeover
from tailrace.streamlog.redis.writing import Outcome, Terms, Writing

T = TypeVar("T")

ID = "gen_000000000000000000000001"


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis for all these tests."""
    with shared_redis() as url:
        yield url


class OneLog(RuleBasedStateMachine):
    """A writer that appends, loses answers, is forgotten by Redis; others that take over at any time."""

    url: ClassVar[str]

    @initialize()
    def begin(self) -> None:
        """A generation begins: nothing of it is in Redis yet."""
        empty(self.url)
        self.runner = asyncio.Runner()
        self.taken: list[str] = []
        self.log = self.run(self._create())
        self.lost = False

    async def _create(self) -> RingLog:
        self.line = Line(Redis(self.url))
        terms = Terms("writer", keep_s=60)
        log = RingLog(ID, owner="ann", dialect="delta", session_id=None)
        self.writing = Writing(log, terms)
        self.reading = Reading(self.line, terms)
        others = Terms("other", keep_s=60)
        self.takeover = Takeover(self.line, self.reading, others, lease_s=1, on_taken=self.taken.append)
        return log

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine."""
        return self.runner.run(work)

    @rule(size=st.integers(1, 700))
    @precondition(lambda self: self.log.terminal is None)
    def say(self, size: int) -> None:
        """The answer goes on."""
        said = texts(*(str(self.log.tail + place) for place in range(size)))
        self.log.append(said if self.log.tail else [STARTED, *said])

    @rule()
    @precondition(lambda self: self.log.terminal is None)
    def end(self) -> None:
        """It ends."""
        self.log.append(END)

    @rule(heard=st.booleans())
    @precondition(lambda self: not self.lost and not self.writing.done)
    def write(self, heard: bool) -> None:
        """The writer sends what comes next; the answer may not reach it."""
        before = self.found()
        reply = self.run(self._send())
        after = self.found()
        if self.taken or (before is not None and before.ended_at is not None):
            assert after == before, "something was written behind the end"
        if heard:
            self.lost = self.writing.take(reply) is Outcome.LOST
            assert self.lost == bool(self.taken), "a writer knows at its next word whether it was shut out"

    async def _send(self) -> Any:
        commands = self.writing.next_commands()
        return (await self.line.exchange(commands, len(commands)))[-1]

    @rule()
    def take_over(self) -> None:
        """Another worker holds the writer to be dead, rightly or not."""
        before = self.found()
        self.run(self.takeover.take_over(ID))
        after = self.found()
        if before is None:
            assert after is None
        elif before.ended_at is not None:
            assert after == before, "a log that has ended gets nothing more"
        else:
            assert after is not None
            assert after.runs[:-1] == before.runs
            assert after.runs[-1].torn

    @rule()
    @precondition(lambda self: not self.taken)
    def forget(self) -> None:
        """Redis is restarted empty."""
        empty(self.url)

    @rule()
    def look(self) -> None:
        """What a reader finds is what was said, from the start, without a gap, and ended once."""
        found = self.found()
        if found is None:
            return
        said = list(self.log.read(0, self.log.tail))
        events = events_of(found.runs)
        firsts = [run.first for run in found.runs]
        assert firsts == [1 + sum(len(run.events) for run in found.runs[:place]) for place in range(len(firsts))]
        if found.ended_at is not None and found.runs[-1].torn:
            events = events[:-2]
        elif found.ended_at is not None:
            assert events == said
        assert events == said[: len(events)]
        assert sum(run.ended_at is not None for run in found.runs) <= 1

    def found(self) -> Found | None:
        """What is in Redis."""
        return self.run(self.reading.find(ID))

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "runner"):
            self.run(self.line.close())
            self.runner.close()


def test_a_log_in_any_order(redis_url: str) -> None:
    """Whoever writes, loses answers, takes over or empties Redis in whatever order: readers find what was said, in its
    order, with one end at most; nothing follows an end; a writer that was shut out learns it with its next append."""
    OneLog.url = redis_url
    run_state_machine_as_test(OneLog, settings=settings(max_examples=40, stateful_step_count=20, deadline=None))


async def test_a_refused_append_is_published_to_nobody(redis_url: str) -> None:
    """After a takeover the old writer's append reaches neither the log nor any reader."""
    empty(redis_url)
    writer, watcher = Line(Redis(redis_url)), await Redis(redis_url).connect()
    await watcher.send_command("SUBSCRIBE", names.channel(ID))
    await watcher.read_response()
    log = RingLog(ID, owner="ann", dialect="delta", session_id=None)
    writing = Writing(log, Terms("writer", keep_s=60))
    log.append([STARTED, *texts("a")])
    commands = writing.next_commands()
    writing.take((await writer.exchange(commands, len(commands)))[-1])
    terms = Terms("other", keep_s=60)
    await Takeover(writer, Reading(writer, terms), terms, lease_s=1, on_taken=lambda _: None).take_over(ID)
    log.append(texts("lost"))
    commands = writing.next_commands()
    assert writing.take((await writer.exchange(commands, len(commands)))[-1]) is Outcome.LOST
    heard = [decode((await watcher.read_response())[2]) for _ in range(2)]
    assert [run.torn for run in heard] == [False, True]
    await writer.ask((b"PUBLISH", names.channel(ID), b"last"))
    assert (await watcher.read_response())[2] == b"last"
    await watcher.disconnect()
    await writer.close()
