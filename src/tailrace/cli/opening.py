"""What commands open: the settings, and the ledger beside a server that may be running."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from tailrace.ledger import Ledger, create_ledger
from tailrace.settings import Reading, Settings, read
from tailrace.web import logs

T = TypeVar("T")

ConfigFlag = Annotated[str | None, typer.Option(help="The settings file.  [default: tailrace.toml, if there is one]")]


def read_settings(**flags: str | None) -> Reading:
    """The settings, from these flags and their other sources. Raises SettingsError."""
    return read(flags, os.environ, Path.cwd())


def use_ledger(settings: Settings, job: Callable[[Ledger], Awaitable[T]]) -> T:
    """Do one job with the ledger: it takes no lock and sweeps nothing, so a server may be using it too."""
    logs.configure("warning")

    async def run() -> T:
        ledger = create_ledger(settings, serving=False)
        await ledger.open()
        try:
            return await job(ledger)
        finally:
            await ledger.close()

    return asyncio.run(run())
