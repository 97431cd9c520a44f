"""What commands that ask a running server share: where it is, who asks, and how its errors are told."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tailrace.errors import RequestError, StreamError, TailraceError, UnreachableError
from tailrace.web import logs

LOCAL: Final = "http://127.0.0.1:8000"
FAILED: Final = 1

UrlFlag = Annotated[str, typer.Option(envvar="TAILRACE_URL", metavar="URL", help="The server to ask.")]
KeyFlag = Annotated[
    str | None,
    typer.Option(envvar="TAILRACE_KEY", metavar="KEY", help="An API key; others on this machine can see flags."),
]


def complain(error: TailraceError) -> int:
    """Tell what went wrong in one line on stderr, and return the exit status."""
    typer.echo(f"tailrace: {logs.escape(_told(error))}", err=True)
    return FAILED


def _told(error: TailraceError) -> str:
    match error:
        case UnreachableError(message=message):
            return f"{message}; start a server with `tailrace serve`, or name another with --url"
        case RequestError(status=401):
            return f"{error.message}; give one with --key or TAILRACE_KEY"
        case StreamError(code=code, message=message):
            return f"the answer is not whole: {message} ({code})"
        case _:
            return str(error)
