"""What the log looks like, and what it never lets through."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tailrace.web import logs

ATTACK = "ok\n2026-01-01 [error] forged\r\x1b[2J\x9b31m\u2028\u202e"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Each test leaves the process's logging as it found it."""
    loggers = [logging.getLogger(name) for name in ("", "uvicorn.error", "uvicorn.access", "alembic", "stripe")]
    before = [(logger.handlers[:], logger.filters[:], logger.level) for logger in loggers]
    yield
    structlog.reset_defaults()
    for logger, (handlers, filters, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.filters = handlers, filters
        logger.setLevel(level)


@given(st.text())
def test_escaped_text_is_one_harmless_line(text: str) -> None:
    """No text keeps a control character or a line's end; ordinary text stays as it is."""
    escaped = logs.escape(text)
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in escaped)
    assert len(escaped.splitlines()) <= 1
    assert logs.escape(escaped) == escaped


def test_json_lines_hold_attacks_as_data() -> None:
    """Away from a terminal a line is ASCII JSON, and what was logged comes back equal."""
    stream = io.StringIO()
    logs.configure("info", stream)
    structlog.get_logger("x").warning("told", title=ATTACK)
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue())["title"] == ATTACK
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("where", ["event", "key", "value", "list"])
def test_terminal_lines_hold_attacks_as_text(where: str) -> None:
    """At a terminal nothing that is logged moves the cursor, colours the screen or begins a line."""
    stream = Terminal()
    logs.configure("info", stream)
    event = ATTACK if where == "event" else "told"
    fields: dict[str, dict[str, object]] = {
        "key": {ATTACK: 1},
        "value": {"title": ATTACK},
        "list": {"title": [ATTACK]},
    }
    structlog.get_logger("x").warning(event, **fields.get(where, {}))
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert "\x1b[2J" not in written
    assert not set("\r\x9b\u2028\u202e") & set(written)


def test_a_traceback_cannot_forge_a_line() -> None:
    """At a terminal each line of a traceback is indented, whatever the exception says."""
    stream = Terminal()
    logs.configure("info", stream)
    try:
        fail()
    except ValueError:
        structlog.get_logger("x").exception("failed")
    first, *rest = stream.getvalue().rstrip("\n").split("\n")
    assert "failed" in first
    assert any("ValueError" in line for line in rest)
    assert all(line.startswith("    ") for line in rest if line)
    assert "\x1b[2J" not in stream.getvalue()


def fail() -> None:
    """Raise what an attacker worded."""
    raise ValueError(ATTACK)


def test_records_of_other_libraries_are_lines_too() -> None:
    """What a library logs through the standard library has the same form."""
    stream = io.StringIO()
    logs.configure("info", stream)
    logging.getLogger("elsewhere").warning("told %s", ATTACK)
    assert json.loads(stream.getvalue())["event"] == f"told {ATTACK}"


@pytest.mark.parametrize(("level", "written"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_lines_below_the_level_are_not_written(level: str, written: int) -> None:
    """Only lines of the level and above are written, ours and others'."""
    for source in (structlog.get_logger("x"), logging.getLogger("elsewhere")):
        stream = io.StringIO()
        logs.configure(level, stream)
        for method in (source.debug, source.info, source.warning):
            method("told")
        assert stream.getvalue().count("\n") == written


def test_an_access_line_has_no_query() -> None:
    """uvicorn's access record becomes an event whose path ends before the question mark."""
    stream = io.StringIO()
    logs.configure("info", stream)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", "/a?token=t", "1.1", 200)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["client"], line["path"], line["status"]) == ("request", "1.2.3.4:5", "/a", 200)
    assert "token" not in stream.getvalue()
