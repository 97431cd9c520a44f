"""`tailrace keys`: makes, changes, lists and revokes API keys, also while a server runs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import typer

from tailrace.cli.opening import ConfigFlag, read_settings, use_ledger
from tailrace.cli.printing import print_json, print_table, show_help
from tailrace.keys import KeyChanges, Keyring, NewKey, describe, parse_flags
from tailrace.ledger import Key
from tailrace.moments import show_moment
from tailrace.settings import Models
from tailrace.web import logs

T = TypeVar("T")

app: Final = typer.Typer(name="keys", help="API keys.")

_TITLES: Final = ("ID", "NAME", "STATE", "RPM", "TPM", "STREAMS", "BUDGET", "MODELS", "EXPIRES")
_NO_LIMIT: Final = ("none", "never")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The key's id; `tailrace keys list` shows them.")]
NameFlag = Annotated[str | None, typer.Option(help="What it is for.")]
RpmFlag = Annotated[str | None, typer.Option(metavar="N", help="Requests a minute.")]
TpmFlag = Annotated[str | None, typer.Option(metavar="N", help="Tokens a minute.")]
StreamsFlag = Annotated[str | None, typer.Option(metavar="N", help="Streams at the same time.")]
BudgetFlag = Annotated[str | None, typer.Option(metavar="USD", help="50/month, 5/day, or 50 in all; UTC.")]
ModelsFlag = Annotated[str | None, typer.Option(metavar="A,B", help="The only models that it may use.")]
CustomerFlag = Annotated[str | None, typer.Option(metavar="CUS_…", help="Whom Stripe bills for its usage.")]
ExpiresFlag = Annotated[str | None, typer.Option(metavar="30D", help="A span from now, or a date.")]
PolicyFlag = Annotated[
    str | None,
    typer.Option(metavar="POLICY", help="When the last reader leaves: cancel, continue, or seconds of grace."),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def keys(context: typer.Context) -> None:
    """API keys."""
    show_help(context)


@app.command()
def create(
    *,
    name: Annotated[str, typer.Option(help="What it is for.")],
    admin: Annotated[bool, typer.Option("--admin", help="It may make keys and see everything.")] = False,
    rpm: RpmFlag = None,
    tpm: TpmFlag = None,
    max_streams: StreamsFlag = None,
    budget_usd: BudgetFlag = None,
    models: ModelsFlag = None,
    stripe_customer: CustomerFlag = None,
    expires: ExpiresFlag = None,
    on_disconnect: PolicyFlag = None,
    as_json: JsonFlag = False,
    config: ConfigFlag = None,
) -> None:
    """Make a key. It is printed this once, alone on stdout."""
    flags = _said(
        name=name, admin=admin, rpm=rpm, tpm=tpm, max_streams=max_streams, budget_usd=budget_usd, models=models,
        stripe_customer=stripe_customer, expires=expires, on_disconnect=on_disconnect,
    )  # fmt: skip
    body = parse_flags(flags, NewKey)
    made = _use(config, lambda keyring: keyring.create(body))
    if as_json:
        print_json({**describe(made.key), "key": made.text.reveal()})
    else:
        typer.echo(made.text.reveal())
        typer.echo(f"made the key {made.key.id} ({logs.escape(made.key.name)}); it is not shown again", err=True)


@app.command()
def update(
    key_id: IdArgument,
    *,
    name: NameFlag = None,
    admin: Annotated[bool | None, typer.Option("--admin/--no-admin", help="Whether it may do everything.")] = None,
    rpm: RpmFlag = None,
    tpm: TpmFlag = None,
    max_streams: StreamsFlag = None,
    budget_usd: BudgetFlag = None,
    models: ModelsFlag = None,
    stripe_customer: CustomerFlag = None,
    expires: ExpiresFlag = None,
    on_disconnect: PolicyFlag = None,
    as_json: JsonFlag = False,
    config: ConfigFlag = None,
) -> None:
    """Change a key; what is not named stays, and `none` takes a limit away."""
    flags = _said(
        name=name, admin=admin, rpm=rpm, tpm=tpm, max_streams=max_streams, budget_usd=budget_usd, models=models,
        stripe_customer=stripe_customer, expires=expires, on_disconnect=on_disconnect,
    )  # fmt: skip
    if not flags:
        raise typer.BadParameter("say what to change, such as --rpm 60")
    changes = parse_flags(flags, KeyChanges)
    key = _use(config, lambda keyring: keyring.update(key_id, changes))
    _print_one(key, as_json=as_json)


@app.command("list")
def list_keys(*, as_json: JsonFlag = False, config: ConfigFlag = None) -> None:
    """Show all keys, oldest first, the revoked ones too; never their secrets."""
    found = _use(config, lambda keyring: keyring.list())
    if as_json:
        print_json({"data": [describe(key) for key in found]})
    else:
        _print_many(found)


@app.command()
def revoke(key_id: IdArgument, *, as_json: JsonFlag = False, config: ConfigFlag = None) -> None:
    """End a key for good, within two seconds everywhere, its running streams too."""
    key = _use(config, lambda keyring: keyring.revoke(key_id))
    _print_one(key, as_json=as_json)


def _use(config: str | None, job: Callable[[Keyring], Awaitable[T]]) -> T:
    settings = read_settings(config=config).settings
    return use_ledger(settings, lambda ledger: job(Keyring(ledger, Models(settings))))


def _said(**flags: str | bool | None) -> dict[str, Any]:
    """The flags that were given, in the words of a body."""
    return {name: _read(name, value) for name, value in flags.items() if value is not None}


def _read(name: str, value: str | bool) -> object:
    if name != "name" and value in _NO_LIMIT:
        return None
    return [model.strip() for model in str(value).split(",")] if name == "models" else value


def _print_one(key: Key, *, as_json: bool) -> None:
    if as_json:
        print_json(describe(key))
    else:
        _print_many([key])


def _print_many(shown: list[Key]) -> None:
    print_table(_TITLES, [_row(describe(key), _state(key)) for key in shown])


def _row(face: dict[str, Any], state: str) -> list[str]:
    limits = [face[name] for name in ("rpm", "tpm", "max_streams", "budget_usd")]
    models = None if face["models"] is None else ",".join(face["models"])
    expires = None if face["expires_at"] is None else show_moment(face["expires_at"])
    shown = ["-" if value is None else str(value) for value in (*limits, models, expires)]
    return [face["id"], face["name"], state, *shown]


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= time.time():
        return "expired"
    return "admin" if key.admin else "active"
