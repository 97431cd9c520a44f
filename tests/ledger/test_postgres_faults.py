"""What may befall PostgreSQL: it stops, is slow, cuts connections, is old. No settlement is lost, none is double."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.ledger.installation import PostgresInstallation
from tests.ledger.specimens import begun, opening, row, settlement
from tests.postgres import PostgresServer

from tailrace.errors import SettingsError, StoreError
from tailrace.ledger import Budget, Ledger, Opened, Scope, create_ledger
from tailrace.ledger.advisory import AdvisoryOwners
from tailrace.ledger.postgres import PostgresDatabase
from tailrace.ledger.spool import Spool
from tailrace.ledger.sql import SqlLedger
from tailrace.settings import SecretUrl, Settings

DEADLINE_S = 30.0
TOTAL = Budget(amount=1, period="total")


async def until(condition: Callable[[], Any]) -> None:
    """Wait until an awaited condition holds; StoreErrors on the way do not count."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.suppress(StoreError):
            if await condition():
                return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def keep_sweeping(ledger: Ledger) -> None:
    """Sweep without end, through every fault."""
    while True:
        with contextlib.suppress(StoreError):
            await ledger.sweep()
        await asyncio.sleep(0.1)


async def test_a_restart_in_mid_use_loses_nothing(on_postgres: PostgresInstallation) -> None:
    """PostgreSQL stops while streams run in two processes, and starts again.

    What ended meanwhile waits and is written once; what runs on is not taken for dead, although every lock was free.
    """
    ledgers = [await on_postgres.open() for _ in range(2)]
    sweeping = [asyncio.create_task(keep_sweeping(ledger)) for ledger in ledgers]
    ended = [await begun(ledgers[place % 2]) for place in range(40)]
    running = [await begun(ledger) for ledger in ledgers]
    await asyncio.to_thread(on_postgres.server.stop)
    settled = await asyncio.gather(
        *(ledgers[place % 2].settle(settlement(id_, cost=3)) for place, id_ in enumerate(ended))
    )
    assert settled == [True] * 40
    for call in (ledgers[0].begin(opening()), ledgers[1].rows(Scope(), limit=5), ledgers[0].key_version()):
        with pytest.raises(StoreError):
            await call
    await asyncio.to_thread(on_postgres.server.start)

    async def all_settled() -> bool:
        page = await ledgers[0].rows(Scope(), limit=100)
        return {found.id for found in page.items if found.status == "running"} == set(running)

    await until(all_settled)
    # Longer than a lock must be free before its process counts as dead.
    await asyncio.sleep(4)
    assert [await ledger.lost() for ledger in ledgers] == [[], []]
    assert await ledgers[0].spent("k1", TOTAL) == 40 * 3
    for ledger, id_ in zip(ledgers, running, strict=True):
        assert await ledger.settle(settlement(id_, output_tokens=8))
        assert (await row(ledger, id_)).output_tokens == 8
    assert await ledgers[0].begin(opening()) == Opened()
    for task in sweeping:
        task.cancel()
    await asyncio.gather(*sweeping, return_exceptions=True)


async def test_a_lost_lock_is_taken_again(on_postgres: PostgresInstallation) -> None:
    """A process whose connections are cut takes a new lock under a new name; its older rows stay its own."""
    ledger, other = await on_postgres.open(), await on_postgres.open()
    sweeping = asyncio.create_task(keep_sweeping(other))
    before = await begun(ledger)
    for _ in range(3):
        await on_postgres.server.execute(
            on_postgres.name, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
    after: list[str] = []

    async def opens_again() -> bool:
        after.append(await begun(ledger))
        return True

    await until(opens_again)
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        await ledger.sweep()
        await asyncio.sleep(0.2)
    assert await ledger.lost() == []
    assert await ledger.settle(settlement(before))
    assert await ledger.settle(settlement(after[-1]))
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_an_owner_that_lost_its_rows_is_told(on_postgres: PostgresInstallation) -> None:
    """Where another process has taken a row over, its first owner hears of it, and its figures are dropped."""
    ledger = await on_postgres.open()
    lost, kept = await begun(ledger), await begun(ledger)
    await on_postgres.server.execute(
        on_postgres.name, f"UPDATE generations SET owner = 'own_00000000000000aa' WHERE id = '{lost}'"
    )
    assert await ledger.lost() == [lost]
    assert not await ledger.settle(settlement(lost))
    assert await ledger.settle(settlement(kept))
    assert await ledger.lost() == []


async def test_a_slow_database_holds_nobody_up_for_ever(on_postgres: PostgresInstallation) -> None:
    """While rows are held by somebody else, with every connection waiting, calls end in StoreError or the spool."""
    assert on_postgres.settings.database_url is not None
    database = PostgresDatabase(on_postgres.settings.database_url.reveal(), answer_s=0.3)
    owners = AdvisoryOwners(database.connect)
    ledger = SqlLedger(database, owners=owners, spool=Spool(on_postgres.settings.data_dir, "test"))
    await ledger.open()
    spending = [await begun(ledger, reserved=1, budget=Budget(amount=1000, period="total")) for _ in range(30)]
    holder = await asyncpg.connect(on_postgres.settings.database_url.reveal())
    held = holder.transaction()
    await held.start()
    await holder.execute("SELECT * FROM spend FOR UPDATE")
    started = time.monotonic()
    settled, opened = await asyncio.gather(
        asyncio.gather(*(ledger.settle(settlement(id_, cost=2)) for id_ in spending)),
        asyncio.gather(
            *(ledger.begin(opening(reserved=1, budget=Budget(amount=1000, period="total"))) for _ in range(5)),
            return_exceptions=True,
        ),
    )
    assert time.monotonic() - started < DEADLINE_S / 2
    assert settled == [True] * 30
    assert all(isinstance(one, StoreError) for one in opened)
    await held.rollback()
    await holder.close()

    async def written() -> bool:
        await ledger.sweep()
        return await ledger.spent("k1", TOTAL) == 60

    await until(written)
    statuses = [found.status for found in (await ledger.rows(Scope(), limit=100)).items]
    assert statuses.count("finished") == 30
    assert "running" not in statuses
    await ledger.close()


async def refusal(settings: Settings) -> str:
    """Why a ledger does not open."""
    with pytest.raises(SettingsError) as error:
        await create_ledger(settings).open()
    assert error.value.where == "TAILRACE_DATABASE_URL"
    return str(error.value)


async def test_a_database_that_can_t_be_used_is_refused_at_start(on_postgres: PostgresInstallation) -> None:
    """One that does not answer, has no tables, old ones or newer ones is refused, saying what to do."""
    server, folder = on_postgres.server, on_postgres.settings.data_dir

    def at(url: str) -> Settings:
        return Settings(data_dir=folder, database_url=SecretUrl(url))

    assert "PostgreSQL can't be used" in await refusal(at("postgresql://tailrace:secret@127.0.0.1:9/none"))
    assert "secret" not in await refusal(at("postgresql://tailrace:secret@127.0.0.1:9/none"))
    assert "does not exist" in await refusal(at(server.url("none")))
    assert "tailrace db upgrade" in await refusal(at(server.url("postgres")))
    for revision, expected in (("r0000", "newer tailrace"), ("r9", "newer tailrace")):
        await server.execute(on_postgres.name, f"UPDATE alembic_version SET version_num = '{revision}'")
        assert expected in await refusal(on_postgres.settings)
    await server.execute(on_postgres.name, "DELETE FROM alembic_version")
    assert "tailrace db upgrade" in await refusal(on_postgres.settings)


@pytest.mark.parametrize(
    "query", ["?sslmode=disable", "?sslmode=prefer&connect_timeout=5", "?channel_binding=prefer&keepalives=1"]
)
async def test_urls_are_read_as_libpq_does(on_postgres: PostgresInstallation, query: str) -> None:
    """Both schemes and libpq's parameters open the database."""
    url = on_postgres.server.url(on_postgres.name).replace("postgresql://", "postgres://") + query
    ledger = create_ledger(Settings(data_dir=on_postgres.settings.data_dir, database_url=SecretUrl(url)))
    await ledger.open()
    assert await ledger.key_version() == 0
    await ledger.close()


async def test_tls_that_is_demanded_is_not_done_without(on_postgres: PostgresInstallation) -> None:
    """`sslmode=require` against a server without TLS is refused, and so is what the driver can't promise."""
    for query in ("?sslmode=require", "?channel_binding=require", "?sslmode=nonsense", "?connect_timeout=x"):
        url = on_postgres.server.url(on_postgres.name) + query
        with pytest.raises(SettingsError):
            await create_ledger(Settings(data_dir=on_postgres.settings.data_dir, database_url=SecretUrl(url))).open()


async def test_down_at_start_is_said(postgres: PostgresServer, on_postgres: PostgresInstallation) -> None:
    """A server that is down when tailrace starts is a setting's error, in one line."""
    await asyncio.to_thread(postgres.stop)
    said = await refusal(on_postgres.settings)
    await asyncio.to_thread(postgres.start)
    assert "PostgreSQL can't be used" in said
    assert "\n" not in said
