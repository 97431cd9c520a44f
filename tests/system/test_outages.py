"""Databases that stop, fill up, vanish or are held under a running server: its streams go on and no row is lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.postgres import PostgresServer
from tests.system.audience import QUICK, SIZE, attended
from tests.system.commands import Ran, run
from tests.system.customer import ADMIN_KEY, new_customer
from tests.system.disks import Disk
from tests.system.moments import serving
from tests.system.stage import Stage
from tests.system.stores import PostgresStore, SqliteStore, Store
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")


def spooled(store: Store, name: str = "server") -> list[Path]:
    """The spool files of a server that hold something."""
    folder = Path(store.env(name)["TAILRACE_DATA_DIR"])
    return [path for path in folder.glob("*spool*/*.jsonl") if path.stat().st_size]


# PostgreSQL


async def test_streams_outlive_postgresql(
    postgres: PostgresServer, postgres_store: PostgresStore, stage: Stage
) -> None:
    """PostgreSQL stops in mid-stream: answers go on to their end, their rows wait in the spool, a new request is told
    to try again; PostgreSQL is back: all rows are there once, nothing waits, one that ran throughout ends as well."""
    async with serving(postgres_store, stage) as server:
        async with attended(server, stage) as audience, attended(server, stage, count=2) as patient:
            await asyncio.to_thread(postgres.stop)
            await audience.end()
            refused = await audience.ask()
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert spooled(postgres_store)
            await asyncio.to_thread(postgres.start)
            await eventually(audience.ask, lambda answer: answer.status == 200)
            await audience.assert_counted(more=1)
            await patient.end()
            await patient.assert_counted()
        assert spooled(postgres_store) == []
        assert [line for line in server.logs() if line.get("level") == "error" or "raw" in line] == []


async def test_what_waits_outlives_a_crash(
    postgres: PostgresServer, postgres_store: PostgresStore, stage: Stage
) -> None:
    """Killed while PostgreSQL is down and rows wait in the spool: it does not start while PostgreSQL is down, and says
    so; then it writes the rows as they ended, not as interrupted."""
    async with serving(postgres_store, stage) as server, attended(server, stage) as audience:
        await asyncio.to_thread(postgres.stop)
        await audience.end()
        await eventually(lambda: lines_in(spooled(postgres_store)), lambda lines: lines == SIZE)
        await server.kill()
    assert_refused(await start(postgres_store.env()), "TAILRACE_DATABASE_URL", "PostgreSQL can't be used")
    await asyncio.to_thread(postgres.start)
    async with serving(postgres_store, stage) as server:
        audience.customer = audience.customer.at(server.url)
        await audience.assert_counted()
    assert spooled(postgres_store) == []


async def lines_in(paths: Sequence[Path]) -> int:
    """How many settlements these files hold."""
    return sum(line.startswith("{") for path in paths for line in path.read_text("utf-8").splitlines())


async def test_an_empty_database_is_upgraded_first(
    postgres: PostgresServer, postgres_store: PostgresStore, stage: Stage
) -> None:
    """A schema that is not this version's is refused, and the refusal names the command that mends it."""
    await postgres.execute(postgres_store.database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert_refused(await start(postgres_store.env()), "TAILRACE_DATABASE_URL", "tailrace db upgrade")
    upgraded = await run("db", "upgrade", env=postgres_store.env())
    assert (upgraded.status, upgraded.err) == (0, "")
    async with serving(postgres_store, stage) as server:
        customer = await new_customer(server.url)
        assert (await customer.ask("POST", "/v1/chat", QUICK)).status == 200


# SQLite


async def test_a_file_that_another_holds(sqlite_store: SqliteStore, stage: Stage) -> None:
    """Another process's transaction without an end: answers end, a new request is told to try again, and once it is
    over all rows are there once."""
    async with serving(sqlite_store, stage) as server, attended(server, stage) as audience:
        async with sqlite_store.held():
            refused, _ = await asyncio.gather(audience.ask(), audience.end())
            assert refused.status == 503
        await audience.assert_counted()


async def test_a_disk_that_is_full(disk: Disk, stage: Stage) -> None:
    """No byte can be written, for the spool neither: answers end, new requests are told to try again, and once there
    is room all rows are there once."""
    store = SqliteStore(disk.folder / "data")
    async with serving(store, stage) as server, attended(server, stage) as audience:
        disk.fill(server.pid)
        before = 0
        while (answer := await audience.ask()).status == 200:
            before += 1
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        await audience.end()
        assert not all(row["status"] == "finished" for row in await store.rows())
        disk.free(server.pid)
        await audience.assert_counted(more=before)


async def test_a_file_that_is_deleted(sqlite_store: SqliteStore, stage: Stage) -> None:
    """The database's files are deleted under a running server: they come back whole, and outlive its end."""
    async with serving(sqlite_store, stage) as server, attended(server, stage) as audience:
        for path in sqlite_store.path.parent.glob("tailrace.db*"):
            if path.is_file():
                path.unlink()
        await audience.end()
        assert (await audience.ask()).status == 200
        await audience.assert_counted(more=1)
    assert len(await sqlite_store.rows()) == SIZE + 1


# At start


async def start(env: dict[str, str], *, under: Sequence[str] = ()) -> Ran:
    """Try to serve where that is not possible."""
    return await run("serve", "--port", "0", env={**env, "TAILRACE_ADMIN_KEY": ADMIN_KEY}, under=under)


def assert_refused(ran: Ran, *said: str) -> None:
    """It ended as for a wrong setting: one line that says where and what."""
    assert ran.status == 2, ran
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    for words in said:
        assert words in line


def without_privileges() -> Sequence[str]:
    """What makes root obey the modes of files like everyone else."""
    return ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


async def test_a_folder_that_can_not_be_written(sqlite_store: SqliteStore, stage: Stage) -> None:
    """A read-only data folder, empty or with a database in it, is refused at start in one line."""
    folder = sqlite_store.path.parent
    folder.mkdir(mode=0o500)
    assert_refused(await start(sqlite_store.env(), under=without_privileges()), "TAILRACE_DATA_DIR", str(folder))
    folder.chmod(0o700)
    async with serving(sqlite_store, stage):
        pass
    folder.chmod(0o500)
    sqlite_store.path.chmod(0o400)
    assert_refused(await start(sqlite_store.env(), under=without_privileges()), "TAILRACE_DATA_DIR", str(folder))
    folder.chmod(0o700)


async def test_a_file_that_is_no_database(sqlite_store: SqliteStore) -> None:
    """Something else in the database's place is refused at start, and left as it is."""
    sqlite_store.path.parent.mkdir()
    sqlite_store.path.write_text("These are my notes. " * 500, "utf-8")
    assert_refused(await start(sqlite_store.env()), "TAILRACE_DATA_DIR", "not a database")
    assert sqlite_store.path.read_text("utf-8").startswith("These are my notes.")
