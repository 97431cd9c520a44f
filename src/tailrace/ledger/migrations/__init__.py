"""Brings a database's tables to the form that this version needs, with Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tailrace.errors import SettingsError
from tailrace.ledger.database import Query

REVISIONS: Final = ("r0001",)
"""All that this version knows, oldest first; it needs the last."""

FOLDER: Final = Path(__file__).parent

FIND_REVISION: Final = Query("""-- Which revision the tables have.
    SELECT version_num FROM alembic_version""")


def is_current(revision: str | None, *, where: str) -> bool:
    """Whether the tables are as this version needs them. Raises SettingsError where a newer version made them."""
    if revision is not None and revision not in REVISIONS:
        raise SettingsError(
            f"the database was made by a newer tailrace (its schema is {revision}, this one knows {REVISIONS[-1]})",
            where=where,
        )
    return revision == REVISIONS[-1]


def upgrade(connection: sa.Connection) -> None:
    """Run the migrations that are missing, in the connection's own transaction."""
    # Late, since it would take a third of a second of every start, and only a new version has something to migrate
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
