"""What the system tests of the ledger may ask for: a stage for upstreams, and databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.ledger.installation import PostgresInstallation
from tests.postgres import PostgresServer, postgres
from tests.system.disks import Disk, LimitedDisk, can_mount, mounted
from tests.system.stage import Stage
from tests.system.stores import PostgresStore, SqliteStore, Store

__all__ = ["postgres"]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """An upstream for this test."""
    async with Stage() as stage:
        yield stage


@pytest.fixture
def sqlite_store(tmp_path: Path) -> SqliteStore:
    """A data folder."""
    return SqliteStore(tmp_path / "data")


@pytest.fixture
async def postgres_store(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    """A fresh database on PostgreSQL, which runs again when the test has ended."""
    installation = PostgresInstallation(postgres, tmp_path)
    await installation.prepare()
    yield PostgresStore(installation)
    if not postgres.running:
        postgres.start()


@pytest.fixture(params=["limited", *(["mounted"] if can_mount() else [])])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk of each kind that can be had here."""
    if request.param == "limited":
        yield LimitedDisk(tmp_path)
        return
    with mounted(tmp_path) as disk:
        yield disk


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """A database of each kind."""
    store: Store = request.getfixturevalue(f"{request.param}_store")
    return store
