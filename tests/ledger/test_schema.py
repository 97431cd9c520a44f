"""The tables as the code names them are the tables that the migrations make."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from tests.ledger.installation import PostgresInstallation

from tailrace.ledger import upgrade_database
from tailrace.ledger.migrations import FOLDER, REVISIONS
from tailrace.ledger.schema import METADATA
from tailrace.settings import Settings


def differences(connection: sa.Connection) -> list[object]:
    """What a migration would have to change, so that the tables are as the code names them."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, METADATA))


async def test_sqlite_has_the_tables_that_are_named(tmp_path: Path) -> None:
    """Nothing is left to migrate on SQLite, and migrating again changes nothing."""
    for _ in range(2):
        await upgrade_database(Settings(data_dir=tmp_path))
    engine = sa.create_engine(f"sqlite:///{tmp_path}/tailrace.db")
    with engine.connect() as connection:
        assert differences(connection) == []
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
    engine.dispose()


async def test_postgres_has_the_tables_that_are_named(on_postgres: PostgresInstallation) -> None:
    """Nothing is left to migrate on PostgreSQL, and migrating again changes nothing."""
    await upgrade_database(on_postgres.settings)
    url = on_postgres.server.url(on_postgres.name).replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def test_the_known_revisions_are_those_that_there_are() -> None:
    """The list by which old and newer databases are told apart names every migration, in order."""
    folder = ScriptDirectory(str(FOLDER))
    assert tuple(reversed([script.revision for script in folder.walk_revisions()])) == REVISIONS
