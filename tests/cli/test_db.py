"""`tailrace db upgrade`: the schema is made, and a second time changes nothing."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_an_upgrade_makes_the_database_and_may_be_repeated(command: Command, folder: Path) -> None:
    """On an empty folder it makes what the other commands need; again, it finds nothing to do."""
    for _ in range(2):
        assert command("db", "upgrade") == (0, "the database is up to date\n", "")
    assert len(list(folder.rglob("*.db"))) == 1
    assert command("keys", "list", "--json")[0] == 0
