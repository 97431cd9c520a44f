"""The contract of what keeps logs: what is found is what was said, in its order, and how it ended is never a lie."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.streamlog.shelves import Shelf
from tests.streamlog.specimens import CONTENT, END, STARTED, STOP, USAGE, texts, whole_logs

from tailrace.events import Event, Failed, TextDelta, UsageReported
from tailrace.streamlog import RingLog, face_of, follow
from tailrace.streamlog.ring import LINGER_S

pytestmark = pytest.mark.usefixtures("no_leaks")

NUMBERS = itertools.count()
same_shelf = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def new_id() -> str:
    """An id that no log had."""
    return f"gen_{next(NUMBERS):024x}"


def said(log: RingLog | None) -> list[Event]:
    """All events of a log that must be there."""
    assert log is not None
    return list(log.read(0, log.tail))


def assert_torn(log: RingLog | None, kept: list[Event]) -> None:
    """It holds what was kept, how much that was, and that the rest is lost."""
    assert said(log)[: len(kept)] == kept
    assert log is not None
    usage, end = said(log)[len(kept) :]
    assert usage == UsageReported(output_tokens=sum(event != STARTED for event in kept), source="estimated")
    assert isinstance(end, Failed)
    assert (end.code, end.retryable) == ("interrupted", True)
    assert log.torn
    assert log.terminal is end


# What is found


@same_shelf
@given(events=whole_logs(), data=st.data())
async def test_what_is_found_is_what_was_said(shelf: Shelf, events: list[Event], data: st.DataObject) -> None:
    """A log of any events, appended in any pieces and written in any, is found equal when memory has it no longer."""
    log = shelf.create(new_id())
    rest = events
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        log.append(rest[:size])
        rest = rest[size:]
        if data.draw(st.booleans()):
            await shelf.store.flush()
    assert said(await shelf.find(log.id)) == events
    await shelf.forget()
    found = await shelf.find(log.id)
    if not shelf.lasts:
        assert found is None
        return
    assert said(found) == events
    assert found is not None
    assert (found.terminal, found.torn) == (events[-1], False)


async def test_what_is_forgotten_is_gone(lasting: Shelf) -> None:
    """A log that was deleted is not found and not listed, written or not; the others are; once is enough."""
    logs = [lasting.create(new_id(), *END) for _ in range(3)]
    await lasting.store.flush()
    logs.append(lasting.create(new_id(), *END))
    for log in (*logs[1:], logs[1]):
        await lasting.store.forget(log.id)
    await lasting.forget()
    assert [await lasting.find(log.id) is not None for log in logs] == [True, False, False, False]
    assert [face.id for face in await lasting.store.list(None, limit=9)] == [logs[0].id]


async def test_whose_it_is_is_kept(lasting: Shelf) -> None:
    """Owner, format, session, chat and time come back with the log."""
    log = lasting.create(new_id(), *END, owner="ann/b", dialect="token", session_id="s", chat_id="c")
    await lasting.forget()
    found = await lasting.find(log.id)
    assert found is not None
    assert (found.owner, found.dialect, found.session_id, found.chat_id) == ("ann/b", "token", "s", "c")
    assert found.created_at == log.created_at


async def test_what_never_was(shelf: Shelf) -> None:
    """An id that nobody has is None, whatever text it is."""
    shelf.create(new_id(), *END)
    await shelf.store.flush()
    for unknown in (new_id(), "", "gen_' OR 1=1 --", "\ud800", "\0"):
        assert await shelf.find(unknown) is None


async def test_half_of_a_pair(lasting: Shelf) -> None:
    """A lone surrogate, which clients are told as U+FFFD, is kept as that."""
    log = lasting.create(new_id(), STARTED, *texts("a\ud83d", "\ude00b"), *END)
    await lasting.forget()
    assert said(await lasting.find(log.id)) == [STARTED, *texts("a\ufffd", "\ufffdb"), *END]


async def test_numbers_beyond_all_use(lasting: Shelf) -> None:
    """A count that no machine could have made costs neither its log nor those that are written with it."""
    mad = lasting.create(new_id(), STARTED, UsageReported(output_tokens=2**70), STOP)
    log = lasting.create(new_id(), STARTED, *END)
    await lasting.forget()
    assert said(await lasting.find(mad.id)) == [STARTED, UsageReported(output_tokens=2**63 - 1), STOP]
    assert said(await lasting.find(log.id)) == [STARTED, *END]


async def test_a_log_that_was_found_is_read_like_any_other(lasting: Shelf) -> None:
    """A viewer of a log from the store gets all of it and its end."""
    log = lasting.create(new_id(), STARTED, *texts("a", "b"), *END)
    await lasting.forget()
    found = await lasting.find(log.id)
    assert found is not None
    assert [event async for event in follow(found, 1)] == [*texts("a", "b"), *END]


async def test_a_long_answer(lasting: Shelf) -> None:
    """Tens of thousands of entries, written in many pieces, come back in their order."""
    log = lasting.create(new_id(), STARTED)
    for start in range(0, 20_000, 500):
        log.append(texts(*(str(number) for number in range(start, start + 500))))
        if start % 1500:
            await lasting.store.flush()
    log.append(END)
    await lasting.forget()
    assert said(await lasting.find(log.id)) == [STARTED, *texts(*map(str, range(20_000))), *END]


async def test_many_logs_at_once(lasting: Shelf) -> None:
    """A thousand logs that grow together are each kept for itself."""
    logs = [lasting.create(new_id(), STARTED) for _ in range(1000)]
    for place in range(3):
        for number, log in enumerate(logs):
            log.append(texts(f"{number}.{place}"))
        await lasting.store.flush()
    for log in logs:
        log.append(END)
    await lasting.forget()
    for number, log in enumerate(logs):
        assert said(await lasting.find(log.id)) == [STARTED, *texts(*(f"{number}.{p}" for p in range(3))), *END]


async def test_flushing_from_two_sides(lasting: Shelf) -> None:
    """Whoever flushes while another does writes nothing twice."""
    logs = [lasting.create(new_id(), STARTED, *texts("a")) for _ in range(300)]
    await asyncio.gather(*(lasting.store.flush() for _ in range(5)))
    for log in logs:
        log.append([*texts("b"), *END])
    await asyncio.gather(*(lasting.store.flush() for _ in range(5)))
    await lasting.forget()
    for log in logs:
        assert said(await lasting.find(log.id)) == [STARTED, *texts("a", "b"), *END]


# What a dead process leaves


async def test_a_log_whose_writer_died(lasting: Shelf) -> None:
    """Of a log that had no end when its process died, the next has what was kept, and `interrupted`."""
    log = lasting.create(new_id(), STARTED, *texts("a", "b"))
    await lasting.store.flush()
    log.append(texts("lost"))
    await lasting.die()
    await lasting.open()
    assert_torn(await lasting.find(log.id), [STARTED, *texts("a", "b")])


async def test_torn_once(lasting: Shelf) -> None:
    """A torn log stays as it is, however often it is read and whoever dies next."""
    log = lasting.create(new_id(), STARTED, *texts("a"))
    await lasting.store.flush()
    for _ in range(3):
        await lasting.crash()
        assert_torn(await lasting.find(log.id), [STARTED, *texts("a")])
        assert_torn(await lasting.find(log.id), [STARTED, *texts("a")])


async def test_a_log_without_a_word(lasting: Shelf) -> None:
    """A log that was followed and had said nothing when its process died is there, and interrupted."""
    log = lasting.create(new_id())
    await lasting.store.flush()
    await lasting.crash()
    assert_torn(await lasting.find(log.id), [])


async def test_a_log_that_had_ended(lasting: Shelf) -> None:
    """What was sealed and kept before the crash is as it was."""
    log = lasting.create(new_id(), STARTED, *texts("a"), *END)
    await lasting.store.flush()
    await lasting.crash()
    found = await lasting.find(log.id)
    assert said(found) == [STARTED, *texts("a"), *END]
    assert found is not None
    assert not found.torn


async def test_ending_in_good_order(lasting: Shelf) -> None:
    """`close` writes what is still to be written."""
    log = lasting.create(new_id(), STARTED, *texts("a"), *END)
    await lasting.close()
    await lasting.open()
    assert said(await lasting.find(log.id)) == [STARTED, *texts("a"), *END]


async def test_it_follows_by_itself(lasting: Shelf) -> None:
    """Nobody need ask for a flush: what was appended outlives the process a moment later."""
    log = lasting.create(new_id(), STARTED, *texts("a"))
    await asyncio.sleep(1.0)  # ten times as long as it may take: the claim is about time itself
    await lasting.crash()
    assert_torn(await lasting.find(log.id), [STARTED, *texts("a")])


# Lists


async def test_the_list(lasting: Shelf) -> None:
    """The owner's logs as they look from outside, the newest first; everyone's where nobody is named."""
    made = []
    for owner in ("ann", "bob", "ann"):
        lasting.now += 1
        made.append(lasting.create(new_id(), STARTED, *texts("a"), *END, owner=owner))
    lasting.now += 1
    made.append(lasting.create(new_id(), STARTED, *texts("so far")))
    faces = [face_of(log) for log in made]
    await lasting.forget()
    assert list(await lasting.list("ann")) == [faces[3], faces[2], faces[0]]
    assert list(await lasting.list("bob")) == [faces[1]]
    assert list(await lasting.list("eve")) == []
    assert list(await lasting.list(None)) == faces[::-1]
    assert (faces[0].started, faces[0].usage, faces[0].terminal) == (STARTED, USAGE, STOP)


async def test_the_list_in_pages(lasting: Shelf) -> None:
    """Pages of a list hold each log once, those of the same instant too."""
    made = []
    for number in range(10):
        lasting.now += number % 2
        made.append(lasting.create(new_id(), *END))
    await lasting.forget()
    found, after = [], None
    while page := await lasting.list(limit=3, after=after):
        found += [face.id for face in page]
        after = (page[-1].created_at, page[-1].id)
    assert found == [log.id for log in sorted(made, key=lambda log: (log.created_at, log.id), reverse=True)]


async def test_the_list_of_a_chat(lasting: Shelf) -> None:
    """A chat's logs alone, and of them the owner's alone."""
    mine = lasting.create(new_id(), *END, chat_id="c")
    odd = lasting.create(new_id(), *END, chat_id="\ud800")
    lasting.create(new_id(), *END)
    lasting.create(new_id(), *END, chat_id="c", owner="bob")
    await lasting.forget()
    assert [face.id for face in await lasting.list(chat_id="c")] == [mine.id]
    assert [face.id for face in await lasting.list(chat_id="\ud800")] == [odd.id]


async def test_a_torn_log_in_the_list(lasting: Shelf) -> None:
    """It says how it ended, and how many entries it has."""
    log = lasting.create(new_id(), STARTED, *texts("a"))
    await lasting.store.flush()
    await lasting.crash()
    (face,) = await lasting.list()
    found = await lasting.find(log.id)
    assert found is not None
    assert (face.tail, face.terminal, face.started) == (found.tail, found.terminal, STARTED)


# How long


async def test_kept_no_longer(lasting: Shelf) -> None:
    """A log is found until its time after its end is over, by nobody after."""
    log = lasting.create(new_id(), *END)
    await lasting.forget()
    lasting.now += lasting.KEEP_S - 1
    assert await lasting.find(log.id) is not None
    lasting.now += 1
    assert await lasting.find(log.id) is None
    assert list(await lasting.list()) == []


async def test_the_time_counts_from_the_end(lasting: Shelf) -> None:
    """What runs stays, however long; of a torn log the time counts from when it was torn."""
    log = lasting.create(new_id(), STARTED)
    await lasting.store.flush()
    lasting.now += 2 * lasting.KEEP_S
    await lasting.crash()
    assert await lasting.find(log.id) is not None
    lasting.now += lasting.KEEP_S
    assert await lasting.find(log.id) is None


async def test_memory_lets_go(shelf: Shelf) -> None:
    """A log that ended leaves memory 60 s after its last reader, and is then found where it is kept."""
    log = shelf.create(new_id(), STARTED, *END)
    await shelf.store.flush()
    shelf.ring.sweep(0.0)
    shelf.ring.sweep(LINGER_S)
    assert shelf.ring.get(log.id) is None
    found = await shelf.find(log.id)
    assert (None if found is None else said(found)) == ([STARTED, *END] if shelf.lasts else None)


@same_shelf
@given(events=st.lists(CONTENT, max_size=5))
async def test_keeping_changes_nothing(shelf: Shelf, events: list[Event]) -> None:
    """A log that is followed is the same object, with the same entries, for those who read it now."""
    log = shelf.create(new_id(), STARTED)
    for event in events:
        log.append([event])
    await shelf.store.flush()
    assert await shelf.find(log.id) is log
    assert said(log) == [STARTED, *events]
    log.append([TextDelta(text="x"), *END])
