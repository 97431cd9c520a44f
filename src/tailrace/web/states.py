"""A stream's state as JSON: where it stands, what it has said so far, what it used."""

from __future__ import annotations

from typing import Any

from tailrace.dialects.own import Answer, usage_json
from tailrace.events import Failed, Finished
from tailrace.generation import settled_status
from tailrace.ledger import Status
from tailrace.streamlog import Face, RingLog, face_of


def status_of(terminal: Finished | Failed | None) -> Status:
    """The one word for how a stream stands."""
    return "running" if terminal is None else settled_status(terminal)


def describe(log: RingLog) -> dict[str, Any]:
    """The state; `text` is what the answer has come to."""
    return _describe(face_of(log), text=Answer.of(log.read(0, log.tail)).text)


def outline(face: Face) -> dict[str, Any]:
    """The state without the text."""
    return _describe(face)


def _describe(face: Face, **text: str) -> dict[str, Any]:
    state: dict[str, Any] = {
        "id": face.id,
        "status": status_of(face.terminal),
        "model": (face.started and face.started.model) or None,
        "format": face.dialect,
        "created_at": face.created_at,
        "entries": face.tail,
        **text,
    }
    match face.terminal:
        case Finished(reason=reason):
            state["finish_reason"] = reason
        case Failed(code=code, message=message):
            state["error"] = {"code": code, "message": message}
    state["usage"] = None if face.usage is None else usage_json(face.usage)
    return state
