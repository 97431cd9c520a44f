"""A whole UI message, folded from the events of a log: what the SDK's client makes of the stream.

The format: https://ai-sdk.dev/docs/reference/ai-sdk-core/ui-message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from tailrace.dialects.ai_sdk.inputs import read_input
from tailrace.events import (
    Event,
    Finished,
    FinishReason,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)

FINISH_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool-calls",
    "content_filter": "content-filter",
}
NO_JSON: Final = "The model wrote an input that is no JSON."


def metadata_json(model: str, usage: UsageReported | None) -> dict[str, Any]:
    """A message's metadata: the model, and the usage in the SDK's own words, without what is not known."""
    return {"model": model, **({} if usage is None else {"usage": _usage_json(usage)})}


def _usage_json(usage: UsageReported) -> dict[str, Any]:
    counts = (usage.input_tokens, usage.output_tokens)
    return _known(
        inputTokens=usage.input_tokens,
        inputTokenDetails=_known(cacheReadTokens=usage.cached_input_tokens) or None,
        outputTokens=usage.output_tokens,
        outputTokenDetails=_known(reasoningTokens=usage.reasoning_tokens) or None,
        totalTokens=None if None in counts else sum(count or 0 for count in counts),
        source=usage.source,
    )


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def signature_json(signature: str) -> dict[str, Any]:
    """A vendor's proof of its reasoning, where the SDK's clients keep it: only Anthropic gives one."""
    return {"anthropic": {"signature": signature}}


def redacted_json(event: Opaque) -> dict[str, Any] | None:
    """The same for what Anthropic thought and does not show; None of anything else that is opaque.

    The block comes in the payload that starts it; the one that ends it says nothing.
    """
    if event.kind != "redacted_thinking":
        return None
    try:
        data = msgspec.json.decode(event.json, type=_BlockStart).content_block.data
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None
    return {"anthropic": {"redactedData": data}}


class _Redacted(msgspec.Struct):
    data: str


class _BlockStart(msgspec.Struct):
    content_block: _Redacted


def fold_message(stream_id: str, events: Sequence[Event]) -> dict[str, Any]:
    """The message, from the events of a log that ended in `Finished`."""
    message = _Message()
    for event in events:
        message.add(event)
    return message.to_json(stream_id)


class _Message:
    """One answer as it grows: texts and inputs are lists of their pieces until its end."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Any]] = []
        self._count = 0
        self._calls: dict[int, dict[str, Any]] = {}
        self._model = ""
        self._usage: UsageReported | None = None
        self._reason: str | None = None

    def add(self, event: Event) -> None:
        match event:
            case Started(model=model):
                self._model = model
                self._parts.append({"type": "step-start"})
            case TextDelta(text=text) | RefusalDelta(text=text):
                self._open("text")["text"].append(text)
            case ReasoningDelta(text=text, signature=signature):
                self._add_reasoning(text, signature)
            case ToolCallStarted() | ToolCallDelta():
                self._add_call(event)
            case Opaque():
                if (metadata := redacted_json(event)) is not None:
                    self._open("reasoning", anew=True)["providerMetadata"] = metadata
            case UsageReported():
                self._usage = event
            case Finished(reason=reason):
                self._reason = FINISH_REASONS[reason]
            case _:
                pass

    def _open(self, kind: Literal["text", "reasoning"], *, anew: bool = False) -> dict[str, Any]:
        """The last part where it is of this kind and not closed, else a new one."""
        last = self._parts[-1] if self._parts else {}
        if not anew and last.get("type") == kind and "providerMetadata" not in last:
            return last
        self._count += 1
        part = {"type": kind, **({"id": str(self._count)} if kind == "reasoning" else {}), "text": [], "state": "done"}
        self._parts.append(part)
        return part

    def _add_reasoning(self, text: str, signature: str | None) -> None:
        if not text and signature is None:
            return
        part = self._open("reasoning")
        part["text"].append(text)
        if signature is not None:
            part["providerMetadata"] = signature_json(signature)

    def _add_call(self, event: ToolCallStarted | ToolCallDelta) -> None:
        match event:
            case ToolCallStarted(call=call, id=call_id, name=name):
                part = {"type": f"tool-{name}", "toolCallId": call_id, "state": "input-available", "input": []}
                self._calls[call] = part
                self._parts.append(part)
            case ToolCallDelta(call=call, arguments=arguments):
                if call in self._calls:
                    self._calls[call]["input"].append(arguments)

    def to_json(self, stream_id: str) -> dict[str, Any]:
        for part in self._parts:
            _close(part)
        return {
            "id": stream_id,
            "role": "assistant",
            "metadata": {**metadata_json(self._model, self._usage), "finishReason": self._reason},
            "parts": self._parts,
        }


def _close(part: dict[str, Any]) -> None:
    if "text" in part:
        part["text"] = "".join(part["text"])
    elif "input" in part:
        written = "".join(part["input"])
        part["input"] = read_input(written)
        if part["input"] is None:
            part.update(input=written, state="output-error", errorText=NO_JSON)
