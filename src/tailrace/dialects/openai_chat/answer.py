"""A whole chat completion, folded from the events of a log.

The format: https://platform.openai.com/docs/api-reference/chat/object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.events import (
    Event,
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

MESSAGE_KINDS: Final = ("annotations", "audio")
"""The kinds of `Opaque` that an OpenAI upstream sends as fields of the message."""


def completion_id(stream_id: str) -> str:
    """OpenAI's kind of id for a stream."""
    return f"chatcmpl-{stream_id.removeprefix('gen_')}"


def usage_json(usage: UsageReported | None) -> dict[str, Any] | None:
    """Usage as OpenAI writes it; None where a count is not known, for its clients take every count for a number."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
    }


def fold_completion(stream_id: str, events: Sequence[Event]) -> dict[str, Any]:
    """The completion, from the events of a log that ended in `Finished`."""
    completion = _Completion()
    for event in events:
        completion.add(event)
    return completion.to_json(stream_id)


class _Choice(msgspec.Struct, kw_only=True):
    """One answer as it grows."""

    text: list[str] = []
    reasoning: list[str] = []
    refusal: list[str] = []
    calls: dict[int, dict[str, Any]] = {}
    fields: dict[str, Any] = {}
    logprobs: dict[str, Any] | None = None

    def add(self, event: Event) -> None:
        match event:
            case TextDelta(text=text):
                self.text.append(text)
            case ReasoningDelta(text=text):
                self.reasoning.append(text)
            case RefusalDelta(text=text):
                self.refusal.append(text)
            case ToolCallStarted(call=call, id=call_id, name=name):
                self.calls[call] = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
            case ToolCallDelta(call=call, arguments=arguments):
                if call in self.calls:
                    self.calls[call]["function"]["arguments"] += arguments
            case Opaque(kind="logprobs", json=json):
                self.logprobs = extend(self.logprobs, msgspec.json.decode(json))
            case Opaque(kind=kind, json=json) if kind in MESSAGE_KINDS:
                self.fields[kind] = extend(self.fields.get(kind), msgspec.json.decode(json))
            case _:
                pass

    def to_json(self, index: int, reason: str | None) -> dict[str, Any]:
        content = "".join(self.text)
        says_other = self.calls or self.refusal
        message = {
            "role": "assistant",
            "content": None if says_other and not content else content,
            "refusal": "".join(self.refusal) or None,
            **({"reasoning_content": reasoning} if (reasoning := "".join(self.reasoning)) else {}),
            **({"tool_calls": list(self.calls.values())} if self.calls else {}),
            **self.fields,
        }
        return {"index": index, "message": message, "logprobs": self.logprobs, "finish_reason": reason}


class _Completion(msgspec.Struct, kw_only=True):
    """All of them."""

    model: str = ""
    created: int = 0
    choices: dict[int, _Choice] = {}
    usage: UsageReported | None = None
    reason: str | None = None

    def add(self, event: Event) -> None:
        match event:
            case Started(model=model, created_at=created_at):
                self.model, self.created = model, int(created_at)
            case UsageReported():
                self.usage = event
            case Finished(reason=reason):
                self.reason = reason
            case TextDelta() | ReasoningDelta() | RefusalDelta() | ToolCallStarted() | ToolCallDelta() | Opaque():
                self.choices.setdefault(event.choice, _Choice()).add(event)
            case _:
                pass

    def to_json(self, stream_id: str) -> dict[str, Any]:
        choices = sorted(self.choices.items()) or [(0, _Choice())]
        return {
            "id": completion_id(stream_id),
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [choice.to_json(index, self.reason) for index, choice in choices],
            "usage": usage_json(self.usage),
        }


def extend(earlier: Any, later: Any) -> Any:
    """Two pieces of one value: lists and the lists in objects are joined, of all else the later holds."""
    match earlier, later:
        case list(), list():
            return [*earlier, *later]
        case dict(), dict():
            return {**earlier, **{name: extend(earlier.get(name), value) for name, value in later.items()}}
        case _:
            return earlier if later is None else later
