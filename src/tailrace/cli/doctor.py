"""`tailrace doctor`: version, paths, and every setting with its source."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from tailrace.cli.opening import ConfigFlag, read_settings
from tailrace.settings import Models, Reading
from tailrace.version import __version__
from tailrace.web import logs

_SERVED_BY: Final = ("fastapi", "uvicorn", "httptools", "uvloop")


def doctor(*, config: ConfigFlag = None) -> None:
    """Show the version, the paths and every setting with its source; secrets are masked."""
    reading = read_settings(config=config)
    console = Console(highlight=False, soft_wrap=True)
    for title, value in _about(reading):
        console.print(Text(f"{title:<12}{logs.escape(value)}"))
    console.print()
    for setting in reading.describe():
        line = Text(f"{setting.key} = {logs.escape(setting.value)}")
        line.append(f"  ({logs.escape(setting.where)})", style="dim")
        console.print(line)


def _about(reading: Reading) -> list[tuple[str, str]]:
    return [
        ("tailrace", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("with", ", ".join(f"{name} {_version(name)}" for name in _SERVED_BY)),
        ("package", str(Path(__file__).parents[1])),
        ("settings", "no tailrace.toml here" if reading.file is None else str(reading.file.resolve())),
        ("data", str(reading.settings.data_dir)),
        ("model", Models(reading.settings).default),
    ]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
