"""Both databases, for the tests of what every ledger does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ledger.installation import Installation, PostgresInstallation, SqliteInstallation
from tests.postgres import postgres

from tailrace.ledger import Ledger

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", "postgres"])
async def installation(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Installation]:
    """A fresh database of each kind."""
    made: Installation
    if request.param == "sqlite":
        made = SqliteInstallation(tmp_path)
    else:
        made = PostgresInstallation(request.getfixturevalue("postgres"), tmp_path)
    await made.prepare()
    yield made
    await made.close()


@pytest.fixture
async def ledger(installation: Installation) -> Ledger:
    """The ledger of a process that serves."""
    return await installation.open()
