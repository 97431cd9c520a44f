"""Logs in a file: whose it is, what happens when it can't be written, and how it stays small."""

from __future__ import annotations

import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.streamlog.shelves import SqliteShelf
from tests.streamlog.specimens import END, STARTED, texts
from tests.waiting import until

from tailrace.errors import SettingsError, StoreError
from tailrace.events import Event, Failed
from tailrace.settings import SecretUrl, Settings, StreamSettings
from tailrace.streamlog import MemoryStore, RingLog, create_store
from tailrace.streamlog.ring import LINGER_S
from tailrace.streamlog.sqlite import SqliteStore

pytestmark = pytest.mark.usefixtures("no_leaks")

ID = "gen_f0000000000000000000000a"
OTHER = "gen_f0000000000000000000000b"


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[SqliteShelf]:
    """A process with an empty file."""
    shelf = SqliteShelf(tmp_path / "data")
    await shelf.open()
    yield shelf
    await shelf.close()


async def found(shelf: SqliteShelf, log_id: str = ID) -> list[Event]:
    """What the file has of a log."""
    log = await shelf.store.find(log_id)
    assert log is not None
    return list(log.read(0, log.tail))


async def execute(shelf: SqliteShelf, statement: str) -> list[tuple[object, ...]]:
    """Do something to the store's own connection."""
    return await shelf.sqlite.execute(statement)


# Whose it is


async def test_for_nobody_elses_eyes(shelf: SqliteShelf) -> None:
    """The folder is 0700 and the files in it 0600, for they hold what was said."""
    shelf.create(ID, STARTED, *END)
    await shelf.store.flush()
    assert stat.S_IMODE(shelf.path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in shelf.path.parent.iterdir()} == {0o600}


async def test_a_second_process_is_refused(shelf: SqliteShelf) -> None:
    """While one process has the file another does not start, and is told what to do; afterwards it does."""
    other = SqliteStore(shelf.path, keep_s=1, keep_size=1 << 20)
    with pytest.raises(SettingsError, match=r"TAILRACE_DATA_DIR: another tailrace .* TAILRACE_REDIS_URL"):
        await other.open()
    await shelf.close()
    await other.open()
    await other.close()
    await shelf.open()


@pytest.mark.parametrize("content", [b"This is no database at all, whatever its name may say." * 100, b"SQLite"])
async def test_a_file_that_is_none_of_ours(tmp_path: Path, content: bytes) -> None:
    """Something else under its name is left alone, and said."""
    path = tmp_path / "streams.db"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"streams can't be kept in .*streams\.db: .* keep = \"0s\""):
        await SqliteStore(path, keep_s=1, keep_size=1 << 20).open()
    assert path.read_bytes() == content


async def test_a_folder_that_can_not_be(tmp_path: Path) -> None:
    """A data folder that is a file is refused at start."""
    (tmp_path / "data").write_text("x")
    with pytest.raises(SettingsError, match="streams can't be kept in"):
        await SqliteStore(tmp_path / "data" / "streams.db", keep_s=1, keep_size=1 << 20).open()


async def test_a_file_of_another_version(shelf: SqliteShelf) -> None:
    """What another version kept is dropped: streams are short-lived, and no reader waits for a migration."""
    shelf.create(ID, STARTED, *END)
    await shelf.store.flush()
    await execute(shelf, "PRAGMA user_version = 99")
    await shelf.crash()
    assert await shelf.store.find(ID) is None
    shelf.create(OTHER, STARTED, *END)
    await shelf.forget()
    assert await found(shelf, OTHER) == [STARTED, *END]


async def test_a_log_that_can_not_be_read(shelf: SqliteShelf) -> None:
    """A log that some later version wrote in its own words is as good as gone, and the log says so."""
    shelf.create(ID, STARTED, *END)
    await shelf.store.flush()
    await execute(shelf, "UPDATE runs SET events = x'9181a474797065a46e6f7665'")
    with capture_logs() as logged:
        assert await shelf.store.find(ID) is None
    assert [(entry["event"], entry["stream"]) for entry in logged] == [("stream_not_readable", ID)]


def test_which_store(tmp_path: Path) -> None:
    """A file, whatever the ledger's database; nothing where nothing is to be kept."""
    path = tmp_path / "streams.db"
    elsewhere = Settings(database_url=SecretUrl("postgresql://localhost/x"))
    assert isinstance(create_store(Settings(), path), SqliteStore)
    assert isinstance(create_store(elsewhere, path), SqliteStore)
    assert isinstance(create_store(Settings(stream=StreamSettings(keep_s=0)), path), MemoryStore)
    assert not path.exists()


# How soon


async def test_within_a_moment(shelf: SqliteShelf) -> None:
    """What is appended is in the file within 100 ms by design; here a busy machine may take ten times that."""
    log = shelf.create(ID, STARTED)
    for number in range(5):
        before = len(shelf.outcomes)
        log.append(texts(str(number)))
        began = time.monotonic()
        await until(lambda: len(shelf.outcomes) > before)  # noqa: B023 - called at once
        assert time.monotonic() - began < 1.0
    log.append(END)


async def test_silence_costs_nothing(shelf: SqliteShelf) -> None:
    """Nothing is written for logs of which there is nothing new."""
    log = shelf.create(ID, STARTED)
    await shelf.store.flush()
    before = len(shelf.outcomes)
    for _ in range(5):
        await shelf.store.flush()
    assert len(shelf.outcomes) == before
    log.append(END)


# When it can't be written


def grow(log: RingLog, *pieces: str) -> list[Event]:
    """Say more; all that was said so far."""
    log.append(texts(*pieces))
    return list(log.read(0, log.tail))


async def test_a_file_that_can_not_be_written(shelf: SqliteShelf) -> None:
    """Streams go on, it is said once, and when it can be written again nothing is missing."""
    log = shelf.create(ID, STARTED, *texts("a"))
    await shelf.store.flush()
    with capture_logs() as logged:
        await execute(shelf, "PRAGMA query_only = ON")
        for piece in "bcd":
            grow(log, piece)
            await shelf.store.flush()
        await execute(shelf, "PRAGMA query_only = OFF")
        grow(log, "e")
        await shelf.store.flush()
    assert [(entry["log_level"], entry["event"]) for entry in logged] == [
        ("error", "streams_not_kept"),
        ("warning", "streams_kept_again"),
    ]
    assert shelf.outcomes[-4:] == ["failed", "failed", "failed", "written"]
    log.append(END)
    await shelf.forget()
    assert await found(shelf) == [STARTED, *texts(*"abcde"), *END]


async def test_it_mends_by_itself(shelf: SqliteShelf) -> None:
    """Nobody need do anything: it is tried again until it works."""
    log = shelf.create(ID, STARTED)
    await execute(shelf, "PRAGMA query_only = ON")
    log.append(texts("a"))
    await until(lambda: "failed" in shelf.outcomes)
    await execute(shelf, "PRAGMA query_only = OFF")
    await until(lambda: shelf.outcomes[-1] == "written")
    log.append(END)
    await shelf.forget()
    assert await found(shelf) == [STARTED, *texts("a"), *END]


async def test_what_was_given_up(shelf: SqliteShelf) -> None:
    """A log that ended while nothing could be written is held for a minute, no longer; then what the file has of it is
    torn, as soon as that can be written, and never looks whole."""
    log = shelf.create(ID, STARTED, *texts("a"))
    await shelf.store.flush()
    await execute(shelf, "PRAGMA query_only = ON")
    log.append([*texts("lost"), *END])
    await shelf.store.flush()
    assert await shelf.store.find(ID) is log
    shelf.now += LINGER_S
    await shelf.store.flush()
    assert await shelf.store.find(ID) is None
    await execute(shelf, "PRAGMA query_only = OFF")
    await shelf.store.flush()
    events = await found(shelf)
    assert events[:-2] == [STARTED, *texts("a")]
    assert isinstance(events[-1], Failed)
    assert events[-1].code == "interrupted"


async def test_a_file_that_is_deleted(shelf: SqliteShelf) -> None:
    """Logs that still grow are whole in the new file, from their first entry; those before them are gone."""
    shelf.create(OTHER, STARTED, *END)
    log = shelf.create(ID, STARTED, *texts("a"))
    await shelf.forget()
    for path in shelf.path.parent.iterdir():
        path.unlink()
    log.append([*texts("b"), *END])
    await shelf.store.flush()
    assert await found(shelf) == [STARTED, *texts("a", "b"), *END]
    assert await shelf.store.find(OTHER) is None
    await shelf.crash()
    assert await found(shelf) == [STARTED, *texts("a", "b"), *END]


async def test_a_file_that_can_not_be_read(shelf: SqliteShelf) -> None:
    """Who looks for a log then is told that the store does not answer, not that there is none."""
    shelf.create(ID, STARTED, *END)
    await shelf.forget()
    await execute(shelf, "ALTER TABLE runs RENAME TO gone")
    with pytest.raises(StoreError, match="no such table"):
        await shelf.store.find(ID)
    with pytest.raises(StoreError, match="no such table"):
        await shelf.list()
    await execute(shelf, "ALTER TABLE gone RENAME TO runs")


# How it stays small


async def fill(shelf: SqliteShelf, count: int, *, size: int = 1000) -> list[str]:
    """So many logs of so many bytes, one a second."""
    ids = [f"gen_{number:024x}" for number in range(count)]
    for log_id in ids:
        shelf.now += 1
        log = shelf.create(log_id, STARTED, *texts("x" * size))
        await shelf.store.flush()
        log.append(END)
        await shelf.store.flush()
    return ids


async def test_old_logs_leave_nothing(shelf: SqliteShelf) -> None:
    """Logs that are too old go with all their runs, the torn ones too, and the file shrinks."""
    empty = await shelf.sqlite.used_bytes()
    await fill(shelf, 50, size=20_000)
    await shelf.store.flush()
    shelf.create(OTHER, STARTED, *texts("x"))
    await shelf.store.flush()
    await shelf.crash()
    shelf.now += shelf.KEEP_S
    await shelf.sqlite.prune()
    assert await execute(shelf, "SELECT (SELECT count(*) FROM logs), (SELECT count(*) FROM runs)") == [(0, 0)]
    assert await shelf.sqlite.used_bytes() <= empty + (32 << 10)
    await shelf.close()
    assert shelf.path.stat().st_size <= empty + (32 << 10)
    await shelf.open()


async def test_too_many_bytes(tmp_path: Path) -> None:
    """Where all take more than they may, those that ended first go first; one that runs stays whatever it takes."""
    shelf = SqliteShelf(tmp_path, keep_size=800_000)
    await shelf.open()
    running = shelf.create(OTHER, STARTED, *texts("r" * 100_000))
    ids = await fill(shelf, 100, size=10_000)
    await shelf.sqlite.prune()
    assert await shelf.sqlite.used_bytes() <= 800_000
    there = [await shelf.store.find(log_id) is not None for log_id in ids]
    assert there == sorted(there)
    assert sum(there) > 5
    running.append(END)
    await shelf.forget()
    assert await found(shelf, OTHER) == [STARTED, *texts("r" * 100_000), *END]
    await shelf.close()


async def test_nobody_waits_long(shelf: SqliteShelf) -> None:
    """While hundreds of old logs are deleted, new ones are written between."""
    await fill(shelf, 200, size=10)
    shelf.now += shelf.KEEP_S
    log = shelf.create(ID, STARTED)
    before = len(shelf.outcomes)
    pruning = shelf.sqlite.prune()
    log.append(END)
    await shelf.store.flush()
    assert len(shelf.outcomes) > before
    await pruning
    assert [face.id for face in await shelf.list()] == [ID]


def test_sqlite_is_new_enough() -> None:
    """The statements need no newer SQLite than the ledger does."""
    assert sqlite3.sqlite_version_info >= (3, 35, 0)
