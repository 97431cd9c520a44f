"""What tailrace's own formats share: how they are asked, the whole answer as JSON, and problem JSON (RFC 9457)."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from tailrace.dialects.base import Call, Dialect, Encoder, json_bytes
from tailrace.dialects.body import parse_body
from tailrace.errors import RequestError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)

PROBLEM_TYPE = "application/problem+json"


class OwnEncoder(Encoder):
    """Frames as `id`, `event` and `data` lines."""

    def _frame(self, place: int | str, data: bytes, event: bytes | None = None) -> bytes:
        """One frame. `place` is the entry's seq, or `seq.k` for an entry's earlier frames; `data` is one line."""
        if event is None:
            return b"%b%b\ndata: %b\n\n" % (self._id, str(place).encode(), data)
        return b"%b%b\nevent: %b\ndata: %b\n\n" % (self._id, str(place).encode(), event, data)


class OwnDialect(Dialect):
    """One of tailrace's own formats: the encoder is what tells them apart."""

    def __init__(self, name: str, encoder: type[OwnEncoder]) -> None:
        self.name = name
        self._encoder = encoder

    def parse(self, body: bytes) -> Call:
        return parse_body(body)

    def encoder(self, stream_id: str) -> Encoder:
        return self._encoder(stream_id)

    def whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return json_bytes(Answer.of(events).to_json(stream_id))

    def refusal(self, error: RequestError, request_id: str) -> tuple[str, bytes]:
        return PROBLEM_TYPE, _problem(error.status, error.code, error.message, request_id, field=error.field)

    def failure(self, failed: Failed, events: Sequence[Event], request_id: str) -> tuple[str, bytes]:
        text = Answer.of(events).text
        more = {"field": failed.field, "text": text or None}
        return PROBLEM_TYPE, _problem(failed.status, failed.code, failed.message, request_id, **more)


def _problem(status: int, code: str, detail: str, request_id: str, **more: str | None) -> bytes:
    problem = {
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    return json_bytes({**problem, **{name: value for name, value in more.items() if value is not None}})


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def usage_json(usage: UsageReported) -> dict[str, Any]:
    """Usage as tailrace's own formats write it; what is not known is left out."""
    figures = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
    }
    return {**{name: count for name, count in figures.items() if count is not None}, "source": usage.source}


def tool_call_json(event: ToolCallStarted | ToolCallDelta) -> dict[str, Any]:
    """A piece of a tool call; `id` and `name` come with the first."""
    match event:
        case ToolCallStarted(call=call, id=call_id, name=name):
            return {"index": call, "id": call_id, "name": name, "arguments": ""}
        case ToolCallDelta(call=call, arguments=arguments):
            return {"index": call, "arguments": arguments}


class Answer(msgspec.Struct, kw_only=True):
    """A log's entries folded into one answer, whole or as far as it came."""

    model: str = ""
    created_at: float | None = None
    text: str = ""
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = []
    usage: UsageReported | None = None
    terminal: Finished | Failed | None = None

    @classmethod
    def of(cls, events: Sequence[Event]) -> Answer:
        """Fold the events of a log, from its first entry; of several choices the first."""
        answer = cls()
        text: list[str] = []
        reasoning: list[str] = []
        for event in events:
            match event:
                case TextDelta(text=piece, choice=0) | RefusalDelta(text=piece, choice=0):
                    text.append(piece)
                case ReasoningDelta(text=piece, choice=0):
                    reasoning.append(piece)
                case _:
                    answer._fold(event)
        answer.text, answer.reasoning = "".join(text), "".join(reasoning)
        return answer

    def _fold(self, event: Event) -> None:
        match event:
            case Started(model=model, created_at=created_at):
                self.model, self.created_at = model, created_at
            case ToolCallStarted(choice=0):
                self.tool_calls.append(tool_call_json(event))
            case ToolCallDelta(call=call, arguments=piece, choice=0):
                self._extend_call(call, piece)
            case UsageReported():
                self.usage = event
            case Finished() | Failed():
                self.terminal = event
            case _:
                pass

    def _extend_call(self, call: int, piece: str) -> None:
        for made in self.tool_calls:
            if made["index"] == call:
                made["arguments"] += piece

    def to_json(self, stream_id: str) -> dict[str, Any]:
        """The whole answer; `reasoning` and `tool_calls` only where there are any."""
        reason = self.terminal.reason if isinstance(self.terminal, Finished) else None
        return {
            "id": stream_id,
            "model": self.model,
            "created_at": self.created_at,
            "text": self.text,
            **({"reasoning": self.reasoning} if self.reasoning else {}),
            **({"tool_calls": self.tool_calls} if self.tool_calls else {}),
            "finish_reason": reason,
            "usage": usage_json(self.usage or UsageReported()),
        }
