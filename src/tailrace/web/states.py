"""A stream's state as JSON: where it stands, what it has said so far, what it used."""

from __future__ import annotations

from typing import Any

from tailrace.dialects.own import Answer, usage_json
from tailrace.events import Failed, Finished
from tailrace.generation import settled_status
from tailrace.ledger import Status
from tailrace.streamlog import RingLog


def status_of(terminal: Finished | Failed | None) -> Status:
    """The one word for how a stream stands."""
    return "running" if terminal is None else settled_status(terminal)


def describe(log: RingLog, *, with_text: bool = True) -> dict[str, Any]:
    """The state; `text` is what the answer has come to."""
    answer = Answer.of(log.read(0, log.tail))
    state: dict[str, Any] = {
        "id": log.id,
        "status": status_of(log.terminal),
        "model": answer.model or None,
        "format": log.dialect,
        "created_at": log.created_at,
        "entries": log.tail,
    }
    if with_text:
        state["text"] = answer.text
    match log.terminal:
        case Finished(reason=reason):
            state["finish_reason"] = reason
        case Failed(code=code, message=message):
            state["error"] = {"code": code, "message": message}
    state["usage"] = None if answer.usage is None else usage_json(answer.usage)
    return state
