"""Which database the settings name, and who may open it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.ledger.process import ledger_process, opened_process
from tests.ledger.specimens import begun, key, opening

from tailrace.errors import SettingsError
from tailrace.ledger import create_ledger, upgrade_database
from tailrace.settings import SecretUrl, Settings


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """An installation of one process."""
    return Settings(data_dir=tmp_path / "new" / "data")


async def test_the_data_folder_is_its_owner_s(alone: Settings) -> None:
    """The folder is made for its owner's eyes only, and so is every file in it."""
    ledger = create_ledger(alone)
    await ledger.open()
    await begun(ledger)
    assert alone.data_dir.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o077 for path in alone.data_dir.rglob("*") if path.is_file()}
    assert modes["tailrace.db"] == 0
    assert set(modes.values()) == {0}
    await ledger.close()


async def test_a_second_serve_is_refused(alone: Settings) -> None:
    """Two processes never serve from one folder without Redis; when the first has died the next may."""
    async with opened_process(alone) as first:
        with pytest.raises(SettingsError, match="TAILRACE_REDIS_URL") as error:
            await create_ledger(alone).open()
        assert error.value.where == "TAILRACE_DATA_DIR"
        async with ledger_process(alone) as second:
            assert "another tailrace" in (await second.answer())["refused"]
        await first.kill()
    ledger = create_ledger(alone)
    await ledger.open()
    await ledger.close()


async def test_one_that_shares_and_one_that_does_not_exclude_each_other(alone: Settings) -> None:
    """A process with Redis and one without never serve from the same folder."""
    shared = Settings(data_dir=alone.data_dir, redis_url=SecretUrl("redis://127.0.0.1:1"))
    for first, second in ((alone, shared), (shared, alone)):
        ledger = create_ledger(first)
        await ledger.open()
        with pytest.raises(SettingsError):
            await create_ledger(second).open()
        await ledger.close()


async def test_the_command_line_opens_beside_a_server(alone: Settings) -> None:
    """A ledger that does not serve opens beside one that does, takes nothing over, and opens no generation."""
    serving = create_ledger(alone)
    await serving.open()
    opened = await begun(serving)
    beside = create_ledger(alone, serving=False)
    await beside.open()
    await beside.add_key(key("k9"), b"hash")
    with pytest.raises(RuntimeError):
        await beside.begin(opening())
    with pytest.raises(RuntimeError):
        await beside.sweep()
    await beside.close()
    assert await serving.find_key("k9") is not None
    assert [row.id for row in (await serving.rows(opening().scope, limit=5)).items if row.status == "running"] == [
        opened
    ]
    await serving.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/file"])
async def test_a_database_in_memory_is_refused(tmp_path: Path, url: str) -> None:
    """A URL that names no file is a wrong setting, with what would be right."""
    with pytest.raises(SettingsError, match="must name a file"):
        create_ledger(Settings(data_dir=tmp_path, database_url=SecretUrl(url)))


async def test_a_url_names_the_file(tmp_path: Path) -> None:
    """The file may lie anywhere, with any characters in its name."""
    url = SecretUrl(f"sqlite:///{tmp_path}/o%20d?d#%25/ü.db".replace("?", "%3F").replace("#", "%23"))
    settings = Settings(data_dir=tmp_path / "data", database_url=url)
    await upgrade_database(settings)
    ledger = create_ledger(settings)
    await ledger.open()
    await begun(ledger)
    await ledger.close()
    assert (tmp_path / "o d?d#%" / "ü.db").stat().st_size > 0


async def test_a_missing_driver_is_named(alone: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PostgreSQL's driver a URL of PostgreSQL's is refused, saying what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    settings = Settings(data_dir=alone.data_dir, database_url=SecretUrl("postgresql://user@host/name"))
    with pytest.raises(SettingsError, match=r"tailrace\[postgres\]"):
        create_ledger(settings)
    with pytest.raises(SettingsError, match=r"tailrace\[postgres\]"):
        await upgrade_database(settings)


async def test_a_database_that_is_none_is_refused(alone: Settings) -> None:
    """A file that is no database, one of a newer version, a folder in its place: each is said, with its path."""
    alone.data_dir.mkdir(parents=True)
    path = alone.data_dir / "tailrace.db"
    path.mkdir()
    with pytest.raises(SettingsError, match=r"tailrace\.db"):
        await create_ledger(alone).open()
    path.rmdir()
    path.write_bytes(b"no database" * 100)
    with pytest.raises(SettingsError, match="not a database"):
        await create_ledger(alone).open()
    path.unlink()
    await upgrade_database(alone)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'r9999'")
    connection.close()
    with pytest.raises(SettingsError, match="newer tailrace"):
        await create_ledger(alone).open()
