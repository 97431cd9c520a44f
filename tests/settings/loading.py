"""Loads settings from sources given as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tailrace.errors import SettingsError
from tailrace.settings import Settings, load


def loaded(
    folder: Path, toml: str = "", environ: Mapping[str, str] | None = None, dotenv: str = "", **flags: object
) -> Settings:
    """The settings from these sources."""
    (folder / "tailrace.toml").write_text(toml, "utf-8")
    (folder / ".env").write_text(dotenv, "utf-8")
    return load(flags, environ or {}, folder)


def refusal(
    folder: Path, toml: str = "", environ: Mapping[str, str] | None = None, dotenv: str = "", **flags: object
) -> str:
    """How these sources are refused."""
    with pytest.raises(SettingsError) as refused:
        loaded(folder, toml, environ, dotenv, **flags)
    assert "\n" not in str(refused.value)
    return str(refused.value)
