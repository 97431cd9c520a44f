"""`tailrace db`: the database's schema."""

from __future__ import annotations

import asyncio
from typing import Final

import typer

from tailrace.cli.opening import ConfigFlag, read_settings
from tailrace.cli.printing import show_help
from tailrace.ledger import upgrade_database
from tailrace.web import logs

app: Final = typer.Typer(name="db", help="The database.")


@app.callback(invoke_without_command=True)
def db(context: typer.Context) -> None:
    """The database."""
    show_help(context)


@app.command()
def upgrade(*, config: ConfigFlag = None) -> None:
    """Bring the database to the schema that this version needs. A server that runs may be running an older one."""
    settings = read_settings(config=config).settings
    logs.configure("warning")
    asyncio.run(upgrade_database(settings))
    typer.echo("the database is up to date")
