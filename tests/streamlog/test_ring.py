"""Logs in memory: their order, their viewers, how long they stay, and what they weigh."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import Entry, Event, Failed, Finished, Started, TextDelta, UsageReported
from tailrace.streamlog import Ring, RingLog, StreamLog, entries
from tailrace.streamlog.ring import LINGER_S

STOP = Finished(reason="stop")
ENTRIES = 100_000


def text(piece: str) -> TextDelta:
    return TextDelta(text=piece)


class Watcher:
    """A viewer that notes when it was woken, and how far the log was, and then does as it is told."""

    def __init__(self, log: StreamLog, *, name: str = "", notes: list[str] | None = None) -> None:
        self.log = log
        self.name = name
        self.position = 0
        self.notes: list[str] = [] if notes is None else notes
        self.seen: list[int] = []
        self.ticks: list[float] = []
        self.when_woken: Callable[[], None] = lambda: None

    def wake(self) -> None:
        self.seen.append(self.log.tail)
        self.notes.append(self.name)
        self.when_woken()

    def tick(self, now: float) -> None:
        self.ticks.append(now)


@pytest.fixture
def log() -> RingLog:
    return Ring().create("gen_x", owner="ann", dialect="delta")


def watch(log: RingLog, name: str = "", notes: list[str] | None = None) -> Watcher:
    """A viewer that is attached."""
    watcher = Watcher(log, name=name, notes=notes)
    log.attach(watcher)
    return watcher


# The entries


def test_a_new_log(log: RingLog) -> None:
    """A new log is empty, open, and knows whose it is."""
    assert (log.id, log.owner, log.dialect) == ("gen_x", "ann", "delta")
    assert (log.tail, log.terminal, log.viewers) == (0, None, 0)
    assert list(log.read(0, 10)) == []


def test_entries_are_numbered_from_one(log: RingLog) -> None:
    """Entries come in the order in which they were appended, counted from 1 without a gap."""
    log.append([text("a"), text("b")])
    log.append([text("c")])
    assert log.tail == 3
    assert entries(log) == [Entry(seq=seq, event=text(piece)) for seq, piece in enumerate("abc", 1)]
    assert entries(log, 2) == [Entry(seq=3, event=text("c"))]
    assert entries(log, 3) == []


@given(batches=st.lists(st.lists(st.text(max_size=3), min_size=1, max_size=5), max_size=10), data=st.data())
def test_read(batches: list[list[str]], data: st.DataObject) -> None:
    """Reading gives what follows a place, up to the limit, however the entries were appended."""
    log = Ring().create("gen_x")
    for batch in batches:
        log.append([text(piece) for piece in batch])
    everything: list[Event] = [text(piece) for batch in batches for piece in batch]
    after = data.draw(st.integers(0, len(everything) + 2))
    limit = data.draw(st.integers(0, len(everything) + 2))
    assert list(log.read(after, limit)) == everything[after : after + limit]


def test_what_was_read_does_not_grow(log: RingLog) -> None:
    """A page that was read stays as it was when more comes."""
    log.append([text("a")])
    page = log.read(0, 10)
    log.append([text("b")])
    assert list(page) == [text("a")]


def test_the_callers_list_stays_its_own(log: RingLog) -> None:
    """What a caller does later to the list that it appended changes nothing."""
    events: list[Event] = [text("a")]
    log.append(events)
    events.append(text("b"))
    assert entries(log) == [Entry(seq=1, event=text("a"))]


@pytest.mark.parametrize("terminal", [STOP, Failed(code="cancelled", message="stopped")])
def test_a_terminal_seals(log: RingLog, terminal: Finished | Failed) -> None:
    """Nothing follows a terminal: not even another one."""
    log.append([text("a"), UsageReported(), terminal])
    assert log.terminal == terminal
    for late in (text("b"), STOP):
        with pytest.raises(RuntimeError, match="gen_x is sealed"):
            log.append([late])
    assert log.tail == 3


# The viewers


def test_viewers_wake_in_the_order_they_came(log: RingLog) -> None:
    """Each append wakes every viewer once, first come first, when its entries are there to be read."""
    notes: list[str] = []
    watchers = [watch(log, name, notes) for name in "abc"]
    log.append([text("a"), text("b")])
    log.append([STOP])
    assert notes == list("abcabc")
    assert [watcher.seen for watcher in watchers] == [[2, 3]] * 3


def test_a_viewer_that_left_is_not_woken(log: RingLog) -> None:
    """Who has left is neither woken nor counted, and may leave twice."""
    gone, stays = watch(log), watch(log)
    log.detach(gone)
    log.detach(gone)
    log.append([text("a")])
    assert (gone.seen, stays.seen, log.viewers) == ([], [1], 1)


def test_leaving_while_woken(log: RingLog) -> None:
    """A viewer that leaves while being woken takes the turn of no other."""
    first, second, third = watch(log), watch(log), watch(log)
    second.when_woken = lambda: log.detach(second)
    log.append([text("a")])
    log.append([text("b")])
    assert (first.seen, second.seen, third.seen) == ([1, 2], [1], [1, 2])


def test_coming_while_others_are_woken(log: RingLog) -> None:
    """A viewer that comes while others are woken is woken from the next append on; what is there it reads itself."""
    late = Watcher(log)
    first, second = watch(log), watch(log)
    first.when_woken = lambda: log.attach(late) if log.tail == 1 else None
    log.append([text("a")])
    assert (second.seen, late.seen, log.viewers) == ([1], [], 3)
    log.append([text("b")])
    assert (first.seen, second.seen, late.seen) == ([1, 2], [1, 2], [2])


def test_all_leave_while_woken(log: RingLog) -> None:
    """When each leaves as it is woken, the last one to go is the one that abandons the log."""
    calls: list[int] = []
    log.on_abandoned = lambda: calls.append(log.viewers)
    for _ in range(5):
        watcher = watch(log)
        watcher.when_woken = lambda gone=watcher: log.detach(gone)  # type: ignore[misc]
    log.append([text("a")])
    assert calls == [0]


def test_abandoned(log: RingLog) -> None:
    """`on_abandoned` is called each time the last viewer leaves, never for one of several or for a stranger."""
    calls: list[int] = []
    log.on_abandoned = lambda: calls.append(log.tail)
    first, second = watch(log), watch(log)
    log.detach(Watcher(log))
    log.detach(first)
    assert calls == []
    log.detach(second)
    log.detach(second)
    assert calls == [0]
    log.append([text("a")])
    log.detach(watch(log))
    assert calls == [0, 1]


# The ring


def finished(ring: Ring, log_id: str) -> RingLog:
    """A log that has ended, with nobody at it."""
    log = ring.create(log_id)
    log.append([STOP])
    return log


def test_logs_by_id() -> None:
    """A log is found under its id, by nobody else's, and the ring lists them oldest first."""
    ring = Ring()
    first = ring.create("gen_a", owner="ann", dialect="raw")
    second = ring.create("gen_b")
    assert (first.owner, first.dialect) == ("ann", "raw")
    assert ring.get("gen_a") is first
    assert ring.get("gen_c") is None
    assert list(ring) == [first, second]
    assert len(ring) == 2


def test_finished_logs_linger() -> None:
    """A finished log without a viewer stays for 60 s from the sweep that first sees it so, then it goes."""
    ring = Ring()
    finished(ring, "gen_a")
    ring.sweep(1000.0)
    ring.sweep(1000.0 + LINGER_S - 0.1)
    assert ring.get("gen_a") is not None
    ring.sweep(1000.0 + LINGER_S)
    assert ring.get("gen_a") is None
    assert LINGER_S == 60.0


def test_running_logs_stay() -> None:
    """A log that runs stays however long, with or without a viewer."""
    ring = Ring()
    ring.create("gen_a").append([text("a")])
    for now in (0.0, 1e3, 1e6):
        ring.sweep(now)
    assert ring.get("gen_a") is not None


def test_viewed_logs_stay() -> None:
    """A finished log that somebody reads stays; its time begins anew when the last reader has left."""
    ring = Ring()
    log = finished(ring, "gen_a")
    ring.sweep(0.0)
    watcher = watch(log)
    ring.sweep(1000.0)
    assert ring.get("gen_a") is log
    log.detach(watcher)
    ring.sweep(1001.0)
    ring.sweep(1001.0 + LINGER_S - 0.1)
    assert ring.get("gen_a") is log
    ring.sweep(1001.0 + LINGER_S)
    assert ring.get("gen_a") is None


def test_a_short_visit_renews_the_time() -> None:
    """A reader that came and went between two sweeps counts too."""
    ring = Ring()
    log = finished(ring, "gen_a")
    ring.sweep(0.0)
    log.detach(watch(log))
    ring.sweep(LINGER_S)
    assert ring.get("gen_a") is log


def test_a_sweep_ticks_every_viewer() -> None:
    """Each sweep gives the time to every viewer of every log, also to those of finished ones."""
    ring = Ring()
    watchers = [watch(ring.create("gen_a")), watch(finished(ring, "gen_b")), watch(finished(ring, "gen_c"))]
    ring.sweep(5.0)
    ring.sweep(6.0)
    assert [watcher.ticks for watcher in watchers] == [[5.0, 6.0]] * 3


def test_idle_logs_are_bounded() -> None:
    """Of the finished logs without a viewer the newest stay, as many as allowed; others count for nothing."""
    ring = Ring(max_idle=2)
    running = ring.create("gen_running")
    viewed = finished(ring, "gen_viewed")
    watch(viewed)
    idle = [finished(ring, f"gen_{number}") for number in range(5)]
    ring.sweep(0.0)
    assert list(ring) == [running, viewed, *idle[-2:]]


# What it weighs


@pytest.fixture
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_memory(log: RingLog) -> None:
    """An entry costs its text and no more than 150 bytes."""
    size = 20
    before = tracemalloc.get_traced_memory()[0]
    log.append([Started(model="m", created_at=0.0)])
    for number in range(ENTRIES):
        log.append([TextDelta(text=f"{number:020d}")])
    used = tracemalloc.get_traced_memory()[0] - before
    assert used / ENTRIES < size + 150


@pytest.mark.usefixtures("traced")
def test_a_log_that_goes_leaves_nothing() -> None:
    """What the ring lets go of is freed."""
    ring = Ring()
    before = tracemalloc.get_traced_memory()[0]
    log = ring.create("gen_a")
    log.append([TextDelta(text=f"{number:020d}") for number in range(ENTRIES)])
    log.append([STOP])
    held = tracemalloc.get_traced_memory()[0] - before
    del log
    ring.sweep(0.0)
    ring.sweep(LINGER_S)
    left = tracemalloc.get_traced_memory()[0] - before
    assert left < held / 100
