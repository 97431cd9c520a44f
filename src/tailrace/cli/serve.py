"""`tailrace serve`: the server."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from typing import Annotated, Final

import typer

from tailrace.cli.opening import ConfigFlag, read_settings, use_ledger
from tailrace.errors import SettingsError
from tailrace.ledger import Ledger
from tailrace.settings import Models, Reading, Settings
from tailrace.version import __version__
from tailrace.web import logs

INTERRUPTED: Final = 130


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
    reading = read_settings(
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


def _serve(settings: Settings) -> int:
    # Loaded here so that no other command waits for the web framework.
    from tailrace.web.app import create_app
    from tailrace.web.listeners import bind
    from tailrace.web.server import Server

    def announce(url: str) -> None:
        typer.echo(f"tailrace {__version__} at {url}{settings.server.root_path}, model {Models(settings).default}")
        sys.stdout.flush()

    if settings.server.workers > 1:
        from tailrace.web.workers import Workers

        return Workers(settings, announce=announce).run()
    with contextlib.ExitStack() as bound:
        sockets = [bound.enter_context(listener) for listener in bind(settings.server.host, settings.server.port)]
        server = Server(create_app(settings), settings, announce=announce)
        server.run(sockets)
    return INTERRUPTED if server.force_exit else 0


def _refuse_what_cannot_be_served(reading: Reading) -> None:
    settings = reading.settings
    if not is_loopback(settings.server.host) and settings.admin_key is None and not use_ledger(settings, _has_keys):
        raise SettingsError(
            f"{settings.server.host} can be reached from other machines, and no key exists: make one with "
            "`tailrace keys create`, set TAILRACE_ADMIN_KEY (tr_admin_ and at least 43 characters), or use 127.0.0.1",
            where=reading.where("server", "host"),
        )


async def _has_keys(ledger: Ledger) -> bool:
    return bool(await ledger.keys())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; of names, `localhost` alone is trusted to be one."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
