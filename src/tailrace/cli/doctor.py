"""`tailrace doctor`: what is installed and set here, or what the way to a server does to streams."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from tailrace.cli.asking import FAILED, KeyFlag, complain
from tailrace.cli.diagnosis import Verdict, diagnose
from tailrace.cli.opening import ConfigFlag, read_settings
from tailrace.cli.probing import probe
from tailrace.errors import UnreachableError
from tailrace.settings import Models, Reading
from tailrace.version import __version__
from tailrace.web import logs

_SERVED_BY: Final = ("fastapi", "uvicorn", "httptools", "uvloop")
_MARKS: Final[dict[Verdict, tuple[str, str]]] = {
    "good": ("good", "green"),
    "note": ("note", "dim"),
    "bad": ("BAD", "bold red"),
}


def doctor(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="A server, as its clients reach it.")] = None,
    *,
    key: KeyFlag = None,
    silence: Annotated[float, typer.Option(min=1, max=600, metavar="SECONDS", help="The silence to survive.")] = 20,
    config: ConfigFlag = None,
) -> int:
    """Show the version, the paths and every setting; of a URL, whether a proxy buffers, compresses or cuts streams."""
    if url is None:
        _show_settings(config)
        return 0
    return _examine(url, key, silence)


def _examine(url: str, key: str | None, silence: float) -> int:
    typer.echo(f"Two streams from {logs.escape(url)}, {silence:g} s", err=True)
    try:
        findings = diagnose(asyncio.run(probe(url.rstrip("/"), key=key, silence_s=silence)))
    except UnreachableError as error:
        return complain(error)
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        mark, style = _MARKS[finding.verdict]
        console.print(Text(f"{mark:<6}", style=style) + Text(logs.escape(finding.text)))
        if finding.mend:
            console.print(Text(f"      mend: {finding.mend}", style="bold"))
    return FAILED if any(finding.verdict == "bad" for finding in findings) else 0


def _show_settings(config: str | None) -> None:
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
