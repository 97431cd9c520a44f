"""A stream's state as JSON."""

from __future__ import annotations

import json

import pytest

from tailrace.dialects.base import json_bytes
from tailrace.events import Event, Failed, Finished, Started, TextDelta, UsageReported
from tailrace.ledger import Status
from tailrace.streamlog import Ring, RingLog, face_of
from tailrace.web.states import describe, outline, status_of

OPENING: list[Event] = [Started(model="gpt-4o", created_at=5.0), TextDelta(text="Hel"), TextDelta(text="lo")]
USAGE = UsageReported(input_tokens=1, output_tokens=2, source="counted")


def create_log(*events: Event) -> RingLog:
    log = Ring().create("gen_x", owner="ann", dialect="token")
    if events:
        log.append(events)
    return log


@pytest.mark.parametrize(
    ("terminal", "status"),
    [
        (None, "running"),
        (Finished(reason="length"), "finished"),
        (Failed(code="cancelled", message=""), "aborted"),
        (Failed(code="interrupted", message=""), "interrupted"),
        (Failed(code="upstream_cut", message=""), "failed"),
        (Failed(code="draining", message=""), "failed"),
    ],
)
def test_status(terminal: Finished | Failed | None, status: Status) -> None:
    """How a stream ended, in one word: a cancel is `aborted`, a lost server `interrupted`, all else `failed`."""
    assert status_of(terminal) == status


def test_nothing_yet() -> None:
    """Before the first token nothing is known but when it was asked for, and how it is to be answered."""
    log = create_log()
    assert describe(log) == {
        "id": "gen_x",
        "status": "running",
        "model": None,
        "format": "token",
        "created_at": log.created_at,
        "entries": 0,
        "text": "",
        "usage": None,
    }


def test_running() -> None:
    """While it runs: what has been said so far, and no end."""
    state = describe(create_log(*OPENING))
    assert (state["status"], state["model"], state["entries"], state["text"]) == ("running", "gpt-4o", 3, "Hello")
    assert state["usage"] is None
    assert "finish_reason" not in state
    assert "error" not in state


def test_finished() -> None:
    """A whole answer has its reason and its figures, and no error."""
    state = describe(create_log(*OPENING, USAGE, Finished(reason="stop")))
    assert (state["status"], state["finish_reason"], state["entries"]) == ("finished", "stop", 5)
    assert state["usage"] == {"input_tokens": 1, "output_tokens": 2, "source": "counted"}
    assert "error" not in state


def test_failed() -> None:
    """A broken answer keeps its part, and has an error instead of a reason."""
    state = describe(create_log(*OPENING, USAGE, Failed(code="idle_timeout", message="silent for 60 s")))
    assert (state["status"], state["text"]) == ("failed", "Hello")
    assert state["error"] == {"code": "idle_timeout", "message": "silent for 60 s"}
    assert "finish_reason" not in state


def test_without_text() -> None:
    """In a list the text is left out."""
    assert "text" not in outline(face_of(create_log(*OPENING)))


def test_states_are_json() -> None:
    """A state of any text can be sent."""
    state = describe(create_log(TextDelta(text="\ud800\u2028\0")))
    assert json.loads(json_bytes(state))["text"] == "\ufffd\u2028\0"
