"""Whatever happens in whatever order, a log is found as far as it was kept, and ends as it ended or was torn."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.streamlog.shelves import Shelf, SqliteShelf
from tests.streamlog.specimens import END, STARTED, texts

from tailrace.events import Event
from tailrace.streamlog import RingLog

T = TypeVar("T")


class Kept:
    """What must be true of one log. `sure`: how many entries are kept whatever happens now."""

    def __init__(self, log: RingLog) -> None:
        self.log = log
        self.sure = 0
        self.written = False
        self.ended_at: float | None = None
        self.torn = False


class Shelves(RuleBasedStateMachine):
    """Logs that begin, grow and end, flushes, deaths, time that passes, and readers of it all."""

    def make(self, folder: Path) -> Shelf:
        """The kind of store that is tried."""
        return SqliteShelf(folder)

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tailrace-logs-"))
        self.runner = asyncio.Runner()
        self.shelf = self.make(self.folder)
        self.run(self.shelf.open())
        self.kept: dict[str, Kept] = {}
        self.count = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine."""
        return self.runner.run(work)

    def running(self) -> list[Kept]:
        """Those that this process writes."""
        return [kept for kept in self.kept.values() if kept.ended_at is None]

    async def create_log(self) -> RingLog:
        """Begin one, from within the loop."""
        return self.shelf.create(f"gen_{self.count:024x}", STARTED)

    @rule()
    @precondition(lambda self: len(self.kept) < 6)
    def begin(self) -> None:
        """A generation begins."""
        self.count += 1
        log = self.run(self.create_log())
        self.kept[log.id] = Kept(log)

    @rule(place=st.integers(0, 9), size=st.integers(1, 5))
    @precondition(lambda self: self.running())
    def grow(self, place: int, size: int) -> None:
        """One says more."""
        running = self.running()
        log = running[place % len(running)].log
        log.append(texts(*(str(log.tail + number) for number in range(size))))

    @rule(place=st.integers(0, 9))
    @precondition(lambda self: self.running())
    def end(self, place: int) -> None:
        """One ends."""
        running = self.running()
        kept = running[place % len(running)]
        kept.log.append(END)
        kept.ended_at = self.shelf.now

    @rule(sides=st.integers(1, 3))
    def flush(self, sides: int) -> None:
        """All is written, perhaps from several sides at once; memory may let go of what has ended."""

        async def flush() -> None:
            await asyncio.gather(*(self.shelf.store.flush() for _ in range(sides)))

        self.run(flush())
        self.note_written()

    def note_written(self) -> None:
        """From now on all that was said is sure."""
        for kept in self.kept.values():
            if not kept.torn:
                kept.sure, kept.written = kept.log.tail, True

    @rule()
    def crash(self) -> None:
        """The process dies, and the next one begins."""
        self.run(self.shelf.crash())
        for log_id, kept in list(self.kept.items()):
            if not kept.written and self.run(self.shelf.find(log_id)) is None:
                del self.kept[log_id]
            elif not kept.torn and (kept.ended_at is None or kept.sure < kept.log.tail):
                self.see_torn(kept)

    def see_torn(self, kept: Kept) -> None:
        """The background may have kept more than was sure: what is found now is what stays."""
        found = self.run(self.shelf.find(kept.log.id))
        assert found is not None
        kept.torn = found.torn
        if found.torn:
            assert found.tail - 2 >= kept.sure
            kept.ended_at = self.shelf.now
            kept.sure = found.tail - 2

    @rule(share=st.floats(0.1, 0.7))
    def wait(self, share: float) -> None:
        """Time passes, and what is too old goes."""
        self.run(self.shelf.forget())
        self.note_written()
        for kept in self.running():
            self.shelf.ring.add(kept.log)
        self.shelf.now += share * self.shelf.KEEP_S
        self.run(self.shelf.prune())
        for log_id, kept in list(self.kept.items()):
            if kept.ended_at is not None and self.shelf.now - kept.ended_at >= self.shelf.KEEP_S:
                assert self.run(self.shelf.find(log_id)) is None
                del self.kept[log_id]

    @rule()
    def look(self) -> None:
        """Each log is found, with all that is sure of it, and the list knows how each ended."""
        faces = {face.id: face for face in self.run(self.shelf.list(None))}
        for log_id, kept in self.kept.items():
            found = self.run(self.shelf.find(log_id))
            assert found is not None
            self.assert_true(kept, found)
            if log_id in faces:
                assert faces[log_id].tail == found.tail or kept.log is found

    def assert_true(self, kept: Kept, found: RingLog) -> None:
        """Nothing that was said is changed or missing."""
        events: list[Event] = list(found.read(0, found.tail))
        said = list(kept.log.read(0, kept.log.tail))
        assert found.torn == kept.torn
        if kept.torn:
            assert events[:-2] == said[: kept.sure]
        else:
            assert events == said
            assert found.terminal == kept.log.terminal

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.run(self.shelf.close())
        self.runner.close()
        shutil.rmtree(self.folder)


def test_logs_in_any_order() -> None:
    """Nothing that was kept is ever lost or changed, and no torn log looks whole."""
    run_state_machine_as_test(Shelves, settings=settings(max_examples=30, stateful_step_count=25, deadline=None))
