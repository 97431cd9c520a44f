"""Chooses the database that the settings name."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from tailrace.errors import SettingsError
from tailrace.ledger.base import Ledger
from tailrace.ledger.locks import FileOwners
from tailrace.ledger.spool import Spool
from tailrace.ledger.sql import SqlLedger
from tailrace.ledger.sqlite import SqliteDatabase, database_path, migrate
from tailrace.settings import Settings


def create_ledger(settings: Settings, *, serving: bool = True) -> Ledger:
    """The ledger that the settings name, not yet open.

    Without `serving`, as for the command line, it takes no lock, may be open beside a server, and opens no generation.
    Raises SettingsError for a database URL that can't be used.
    """
    url = _url(settings)
    if url is not None and not url.startswith("sqlite:"):
        return _create_postgres(url, settings.data_dir, serving=serving)
    path = database_path(url, settings.data_dir)
    shared = settings.redis_url is not None
    return SqlLedger(
        SqliteDatabase(path, shared=shared),
        owners=FileOwners(path, shared=shared) if serving else None,
        spool=_create_spool(path.with_name(f"{path.name}.spool")),
    )


def place_beside(settings: Settings, name: str) -> Path:
    """Where another file of this installation's lies: beside the embedded database, else in the data folder."""
    url = _url(settings)
    if url is not None and not url.startswith("sqlite:"):
        return settings.data_dir / f"{name}.db"
    path = database_path(url, settings.data_dir)
    return path.with_name(f"{path.name}.{name}")


async def upgrade_database(settings: Settings) -> None:
    """Bring the database to the schema that this version needs. Raises SettingsError where it does not answer."""
    url = _url(settings)
    if url is None or url.startswith("sqlite:"):
        await asyncio.to_thread(migrate, database_path(url, settings.data_dir))
    else:
        _require_driver()
        from tailrace.ledger import postgres

        await postgres.upgrade(url)


def _create_postgres(url: str, data_dir: Path, *, serving: bool) -> Ledger:
    _require_driver()
    # Late, so that who stays with SQLite need not have the other driver.
    from tailrace.ledger.advisory import AdvisoryOwners
    from tailrace.ledger.postgres import PostgresDatabase

    database = PostgresDatabase(url)
    parts = urlsplit(url)
    place = hashlib.sha256(f"{parts.netloc.rpartition('@')[2]}{parts.path}".encode()).hexdigest()
    return SqlLedger(
        database,
        owners=AdvisoryOwners(database.connect) if serving else None,
        spool=_create_spool(data_dir / f"spool-{place[:12]}"),
    )


def _require_driver() -> None:
    if importlib.util.find_spec("asyncpg") is None:
        raise SettingsError("PostgreSQL needs its driver: install tailrace[postgres]", where="TAILRACE_DATABASE_URL")


def _create_spool(folder: Path) -> Spool:
    return Spool(folder, secrets.token_hex(8))


def _url(settings: Settings) -> str | None:
    return None if settings.database_url is None else settings.database_url.reveal()
