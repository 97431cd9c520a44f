"""What Ollama's answers have in common: times and counts, and a whole answer.

The format: https://docs.ollama.com/api/usage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from tailrace.dialects.base import json_bytes
from tailrace.dialects.ollama.calls import HeldCalls
from tailrace.dialects.ollama.errors import write_error
from tailrace.errors import WireError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)

Said: TypeAlias = dict[str, Any]
"""What a model said: `content`, and where there are any `thinking` and `tool_calls`."""

_NS_IN_MS: Final = 1_000_000


def timestamp(seconds: float) -> str:
    """Unix time as Ollama writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def figures_json(finished: Finished, usage: UsageReported | None) -> dict[str, Any]:
    """What a last line says beside `done`: the reason, times in nanoseconds, counts.

    The time until the first token stands for the reading of the prompt; a time of nothing is one nanosecond, because
    clients divide by it. Nothing is ever loaded here.
    """
    usage = usage or UsageReported()
    total, first = finished.duration_ms, finished.ttft_ms
    figures = {
        # Ollama says "stop" of tool calls too.
        "done_reason": "stop" if finished.reason == "tool_calls" else finished.reason,
        "total_duration": _nanoseconds(total),
        "load_duration": 0,
        "prompt_eval_count": usage.input_tokens,
        "prompt_eval_duration": None if first is None else _nanoseconds(first),
        "eval_count": usage.output_tokens,
        "eval_duration": None if first is None else _nanoseconds(total - first),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _nanoseconds(milliseconds: float) -> int:
    return max(1, round(milliseconds * _NS_IN_MS))


def logprobs_of(event: Opaque) -> list[Any] | None:
    """The log probabilities that a piece of the upstream's has; None where it is of another kind."""
    if event.kind != "logprobs":
        return None
    value = msgspec.json.decode(event.json)
    return (value.get("content") if isinstance(value, dict) else value) or None


def fold_answer(events: Sequence[Event], place: Callable[[Said], dict[str, Any]]) -> bytes:
    """A whole answer, from the events of a log that ended in `Finished`; `place` puts what was said into it."""
    answer = _Answer()
    for event in events:
        if getattr(event, "choice", 0) == 0:
            answer.add(event)
    try:
        return json_bytes(answer.to_json(place))
    except WireError as error:
        return write_error(str(error))


class _Answer(msgspec.Struct, kw_only=True):
    """An answer as it grows."""

    started: Started = Started(model="", created_at=0.0)
    text: list[str] = []
    thinking: list[str] = []
    logprobs: list[Any] = []
    calls: HeldCalls = msgspec.field(default_factory=HeldCalls)
    usage: UsageReported | None = None
    finished: Finished = Finished(reason="stop")

    def add(self, event: Event) -> None:
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                self.text.append(text)
            case ReasoningDelta(text=text):
                self.thinking.append(text)
            case ToolCallStarted() | ToolCallDelta():
                self.calls.add(event)
            case Opaque():
                self.logprobs += logprobs_of(event) or ()
            case Started():
                self.started = event
            case UsageReported():
                self.usage = event
            case Finished():
                self.finished = event
            case Failed():
                pass

    def to_json(self, place: Callable[[Said], dict[str, Any]]) -> dict[str, Any]:
        said = {
            "content": "".join(self.text),
            "thinking": "".join(self.thinking),
            "tool_calls": self.calls.write(cut=self.finished.reason == "length"),
        }
        return {
            "model": self.started.model,
            "created_at": timestamp(self.started.created_at),
            **place({name: value for name, value in said.items() if value or name == "content"}),
            "done": True,
            **({"logprobs": self.logprobs} if self.logprobs else {}),
            **figures_json(self.finished, self.usage),
        }
