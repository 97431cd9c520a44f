"""Every command, and what becomes of what it raises."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Final

import typer

from tailrace.cli import db, keys
from tailrace.cli.asking import FAILED
from tailrace.cli.chat import chat
from tailrace.cli.doctor import doctor
from tailrace.cli.printing import show_help
from tailrace.cli.serve import INTERRUPTED, serve
from tailrace.cli.tail import tail
from tailrace.cli.usage import usage
from tailrace.errors import RequestError, SettingsError, StoreError
from tailrace.version import __version__
from tailrace.web import logs

WRONG_INPUT: Final = 2

app: Final = typer.Typer(
    name="tailrace",
    help="Carries an LLM's answer, token by token, over Server-Sent Events.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command that `sys.argv` holds, and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    try:
        status = app(arguments, prog_name="tailrace", standalone_mode=False)
    except SettingsError as error:
        return _complain(str(error), WRONG_INPUT)
    except typer.TyperException as error:
        return _complain(error.format_message(), WRONG_INPUT)
    except RequestError as error:
        return _complain(_as_flag(error), WRONG_INPUT)
    except StoreError as error:
        return _complain(str(error), FAILED)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left, as `head` does; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status if isinstance(status, int) else 0


@app.callback(invoke_without_command=True)
def tailrace(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Carries an LLM's answer, token by token, over Server-Sent Events."""
    if version:
        typer.echo(f"tailrace {__version__}")
    else:
        show_help(context)


app.command()(serve)
app.command()(chat)
app.command()(tail)
app.command()(doctor)
app.command()(usage)
app.add_typer(keys.app)
app.add_typer(db.app)


def _as_flag(error: RequestError) -> str:
    """A refusal in the words of flags: what a body calls `budget_usd` was given as `--budget-usd`."""
    if error.field is None:
        return error.message
    flag = error.field.partition(".")[0].replace("_", "-")
    return f"--{flag}: {error.message.removeprefix(f'{error.field}: ')}"


def _complain(text: str, status: int) -> int:
    typer.echo(f"tailrace: {logs.escape(' '.join(text.split()))}", err=True)
    return status
