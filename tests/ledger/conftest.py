"""The databases that the ledger's own tests work on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ledger.crashing import Crashing
from tests.ledger.installation import PostgresInstallation
from tests.postgres import PostgresServer, postgres

__all__ = ["postgres"]


@pytest.fixture
async def on_postgres(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[PostgresInstallation]:
    """A fresh database on the server, which runs again when the test has ended."""
    installation = PostgresInstallation(postgres, tmp_path)
    await installation.prepare()
    yield installation
    if not postgres.running:
        postgres.start()
    await installation.close()


@pytest.fixture
async def crashing(tmp_path: Path) -> AsyncIterator[Crashing]:
    """A SQLite file whose processes can crash."""
    made = Crashing(tmp_path)
    yield made
    await made.close()
