"""The command line. What a user got wrong is one line on stderr and exit status 2."""

from __future__ import annotations

import importlib.metadata
import ipaddress
import os
import platform
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from tailrace.errors import SettingsError
from tailrace.settings import Models, Reading, Settings, read
from tailrace.version import __version__
from tailrace.web import logs

WRONG_INPUT: Final = 2
INTERRUPTED: Final = 130

_SERVED_BY: Final = ("fastapi", "uvicorn", "httptools", "uvloop")

app: Final = typer.Typer(
    name="tailrace",
    help="Carries an LLM's answer, token by token, over Server-Sent Events.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFlag = Annotated[str | None, typer.Option(help="The settings file.  [default: tailrace.toml, if there is one]")]


def main() -> None:
    """Run the command that `sys.argv` holds, and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    try:
        status = app(arguments, prog_name="tailrace", standalone_mode=False)
    except (SettingsError, typer.TyperException) as error:
        return _complain(error)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return status if isinstance(status, int) else 0


@app.callback(invoke_without_command=True)
def tailrace(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Carries an LLM's answer, token by token, over Server-Sent Events."""
    if version:
        typer.echo(f"tailrace {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="The address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[str | None, typer.Option(help="The port; 0 is any free one.  [default: 8000]")] = None,
    workers: Annotated[str | None, typer.Option(help="How many processes serve.  [default: 1]")] = None,
    config: ConfigFlag = None,
    tls_cert: Annotated[str | None, typer.Option(help="A PEM file with the certificate and its chain.")] = None,
    tls_key: Annotated[str | None, typer.Option(help="A PEM file with the certificate's key.")] = None,
    root_path: Annotated[str | None, typer.Option(help="The path prefix that a proxy strips.")] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning, error or critical.  [default: info]")
    ] = None,
) -> int:
    """Serve until told to stop; then let running streams end first."""
    reading = _read(
        host=host,
        port=port,
        workers=workers,
        config=config,
        tls_cert=tls_cert,
        tls_key=tls_key,
        root_path=root_path,
        log_level=log_level,
    )
    _refuse_what_cannot_be_served(reading)
    logs.configure(reading.settings.server.log_level)
    return _serve(reading.settings)


@app.command()
def doctor(config: ConfigFlag = None) -> None:
    """Show the version, the paths and every setting with its source; secrets are masked."""
    reading = _read(config=config)
    console = Console(highlight=False, soft_wrap=True)
    for title, value in _about(reading):
        console.print(Text(f"{title:<12}{logs.escape(value)}"))
    console.print()
    for setting in reading.describe():
        line = Text(f"{setting.key} = {logs.escape(setting.value)}")
        line.append(f"  ({logs.escape(setting.where)})", style="dim")
        console.print(line)


def _read(**flags: str | None) -> Reading:
    return read(flags, os.environ, Path.cwd())


def _serve(settings: Settings) -> int:
    # Loaded here so that no other command waits for the web framework.
    from tailrace.web.app import create_app
    from tailrace.web.listeners import bind
    from tailrace.web.server import Server

    def announce(url: str) -> None:
        typer.echo(f"tailrace {__version__} at {url}{settings.server.root_path}, model {Models(settings).default}")
        sys.stdout.flush()

    sockets = bind(settings.server.host, settings.server.port)
    server = Server(create_app(settings), settings, announce=announce)
    server.run(sockets)
    return INTERRUPTED if server.force_exit else 0


def _refuse_what_cannot_be_served(reading: Reading) -> None:
    settings = reading.settings
    if settings.server.workers > 1:
        raise SettingsError("this version serves with one worker only: use 1", where=reading.where("server", "workers"))
    if not _is_loopback(settings.server.host) and settings.admin_key is None:
        raise SettingsError(
            f"{settings.server.host} can be reached from other machines, and no key exists: "
            "set TAILRACE_ADMIN_KEY (tr_admin_ and at least 43 characters), or use 127.0.0.1",
            where=reading.where("server", "host"),
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _about(reading: Reading) -> list[tuple[str, str]]:
    return [
        ("tailrace", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("with", ", ".join(f"{name} {_version(name)}" for name in _SERVED_BY)),
        ("package", str(Path(__file__).parent)),
        ("settings", "no tailrace.toml here" if reading.file is None else str(reading.file.resolve())),
        ("data", str(reading.settings.data_dir)),
        ("model", Models(reading.settings).default),
    ]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _complain(error: SettingsError | typer.TyperException) -> int:
    text = str(error) if isinstance(error, SettingsError) else error.format_message()
    typer.echo(f"tailrace: {logs.escape(' '.join(text.split()))}", err=True)
    return WRONG_INPUT
