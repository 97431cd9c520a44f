"""The log of the server: structlog's events and the standard library's records as lines on stderr.

A person at a terminal gets readable lines, anything else JSON. Nothing that is logged can forge a line or speak to
the terminal: control characters are escaped, and a traceback's lines are indented.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# C0, DEL and C1 control characters, line and paragraph separators, marks that turn the direction of text.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


_GATHER_S: Final = 0.1
_encode_access: Final = msgspec.json.Encoder().encode


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every log line of `level` and above to `stream`, else to stderr. For the process that serves, once."""
    stream = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    _route_records(number, shared, stream)


def escape(text: str) -> str:
    r"""`text` in one harmless line: each control character as \n, \x1b or \u2028."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class AccessLine(logging.Filter):
    """Turns uvicorn's access record into an event of ours, without the query string: it may hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; never hold one back."""
        if isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, target, version, status = record.args
            record.msg, record.args = "request", ()
            path = str(target).partition("?")[0]
            record.__dict__.update(client=client, method=method, path=path, http_version=version, status=status)
        return True


class AccessLog:
    """Stands in for uvicorn's access logger away from a terminal, and writes the lines that structlog would make.

    Every request pays for one: the standard library's way to it costs 60 µs, and a write of its own 10. So lines are
    gathered for a tenth of a second; they say themselves when they were made.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def info(self, _: str, client: str, method: str, target: str, version: str, status: int) -> None:
        """Write uvicorn's record, without the query string; called in the event loop's thread."""
        line = {
            "client": client,
            "method": method,
            "path": target.partition("?")[0],
            "http_version": version,
            "status": status,
            "event": "request",
            "level": "info",
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        self._lines.append(f"{_encode_access(line).decode()}\n")
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(_GATHER_S, self.flush)

    def flush(self) -> None:
        """Write what was gathered."""
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write("".join(lines))
            self._stream.flush()


@functools.lru_cache(maxsize=1)
def _access_log(stream: TextIO) -> AccessLog:
    return AccessLog(stream)


def access_logger(stream: TextIO | None = None) -> AccessLog | logging.Logger:
    """What uvicorn's connections tell of their requests to."""
    stream = sys.stderr if stream is None else stream
    return logging.getLogger("uvicorn.access") if stream.isatty() else _access_log(stream)


def flush_access() -> None:
    """Write the access lines that were gathered; a server does so at its end."""
    if isinstance(log := access_logger(), AccessLog):
        log.flush()


def _route_records(level: int, shared: list[Processor], stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(stream.isatty())],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    access = logging.getLogger("uvicorn.access")
    access.filters = [AccessLine()]
    access.propagate = True  # a server without access lines, earlier in this process, turned it off
    # What uvicorn and Alembic tell is told by `serve` in its own words, what the SDK of Stripe tells by the billing.
    for told_elsewhere in ("uvicorn.error", "alembic", "stripe"):
        logging.getLogger(told_elsewhere).setLevel(level if level == logging.DEBUG else max(level, logging.WARNING))


def _renderers(at_terminal: bool) -> list[Processor]:
    if at_terminal:
        plain = structlog.dev.plain_traceback
        return [_escape_values, structlog.dev.ConsoleRenderer(colors=True, exception_formatter=plain)]
    return [structlog.processors.JSONRenderer(default=repr, ensure_ascii=True)]


def _escape_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {
        escape(key): _escape_traceback(value) if key == "exception" else _escape_value(value)
        for key, value in event.items()
    }


def _escape_value(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else escape(str(value))


def _escape_traceback(value: Any) -> str:
    return "\n".join(f"    {escape(line)}" for line in str(value).split("\n"))
