"""From what a LangChain Runnable streams to events. Imports langchain-core, so it is itself imported late.

Read are strings, message chunks (text, reasoning, tool calls, usage, finish reason), whole messages, and objects that
hold one of these under "answer" or "output"; other objects in a stream, such as a retriever's documents, pass unread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from tailrace.errors import UpstreamError
from tailrace.events import (
    Event,
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
from tailrace.providers.base import Finish

_ANSWER_KEYS: Final = ("answer", "output")
_MODEL_KEYS: Final = ("model_name", "model")
_REASON_KEYS: Final = ("finish_reason", "stop_reason", "done_reason")

_REASONS: Final[dict[str, FinishReason]] = {
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
}
_FAILURES: Final = frozenset({"error", "malformed_function_call"})

# LangChain mirrors tool calls into the content; they are read from where all integrations put them.
_TOLD_ELSEWHERE: Final = frozenset({"tool_call", "tool_call_chunk", "invalid_tool_call"})


class ChunkReader:
    """Reads one answer. `model` and `now` (Unix time) stand in where no chunk names a model."""

    def __init__(self, *, model: str, now: float) -> None:
        # For the whole answer
        self._model = model
        self._created_at = now
        # As it goes
        self._begun = False
        self._unread: str | None = None
        self._calls: dict[object, int] = {}
        self._ids: list[str] = []
        self._usage = UsageReported()
        self._native: str | None = None
        self._stop_sequence: str | None = None

    def read(self, chunk: object) -> list[Event]:
        """The events of one chunk. Raises UpstreamError("upstream_invalid") where it makes no sense."""
        events: list[Event] = []
        self._take(chunk, events)
        if events and not self._begun:
            self._begun = True
            events.insert(0, Started(model=self._model, created_at=self._created_at))
        return events

    def finish(self) -> Finish:
        """How the answer ended. Raises UpstreamError where nothing of it could be read."""
        if self._unread is not None and not self._begun:
            told = f"the chain gave {self._unread}; read are text, messages, and these under 'answer' or 'output'"
            raise UpstreamError("upstream_invalid", told)
        native = (self._native or "").lower()
        if native in _FAILURES:
            raise UpstreamError("upstream_error", f"the model ended with {native!r}")
        reason = _REASONS.get(native, "stop")
        if reason == "stop" and self._ids:
            reason = "tool_calls"
        return Finish(reason=reason, native=self._native, stop_sequence=self._stop_sequence)

    def _take(self, chunk: object, events: list[Event]) -> None:
        match chunk:
            case str():
                _add_text(chunk, events)
            case BaseMessage():
                self._take_message(chunk, events)
            case Mapping():
                self._take_fields(chunk, events)
            case _:
                self._unread = f"a value of type {type(chunk).__name__}"

    def _take_fields(self, fields: Mapping[Any, Any], events: list[Event]) -> None:
        key = next((key for key in _ANSWER_KEYS if key in fields), None)
        if key is None:
            self._unread = f"an object with the keys {', '.join(map(repr, fields))}"
        else:
            self._take(fields[key], events)

    def _take_message(self, message: BaseMessage, events: list[Event]) -> None:
        self._note(message.response_metadata)
        if isinstance(message.content, str) and not message.additional_kwargs:
            _add_text(message.content, events)
        else:
            for block in message.content_blocks:
                _add_block(block, events)
        if isinstance(message, AIMessage):
            self._take_calls(message, events)
            self._take_usage(message, events)

    def _note(self, metadata: dict[str, Any]) -> None:
        details = metadata.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else _first(metadata, _REASON_KEYS)
        self._native = reason or self._native
        self._stop_sequence = metadata.get("stop_sequence") or self._stop_sequence
        if not self._begun:
            self._model = _first(metadata, _MODEL_KEYS) or self._model

    def _take_calls(self, message: AIMessage, events: list[Event]) -> None:
        if isinstance(message, AIMessageChunk):
            for chunk in message.tool_call_chunks:
                self._take_call(chunk.get("index"), chunk.get("id"), chunk.get("name"), chunk.get("args"), events)
            return
        for call in message.tool_calls:
            arguments = json.dumps(call["args"], default=str, separators=(",", ":"))
            self._take_call(None, call["id"], call["name"], arguments, events)

    def _take_call(
        self, index: object, call_id: str | None, name: str | None, arguments: str | None, events: list[Event]
    ) -> None:
        call = self._find_call(index, call_id, name)
        if call is None:
            call = self._begin_call(index, call_id, name, events)
        if arguments:
            events.append(ToolCallDelta(call=call, arguments=_sound(arguments)))

    def _find_call(self, index: object, call_id: str | None, name: str | None) -> int | None:
        """The call that a piece goes on with: by its index, else by its id, else the last one; None begins another."""
        if index is None:
            if call_id is not None:
                return self._ids.index(call_id) if call_id in self._ids else None
            return None if name or not self._ids else len(self._ids) - 1
        call = self._calls.get(index)
        if call is not None and call_id and call_id != self._ids[call] and name:
            return None
        return call

    def _begin_call(self, index: object, call_id: str | None, name: str | None, events: list[Event]) -> int:
        if not name:
            raise UpstreamError("upstream_invalid", "the chain began a tool call without the tool's name")
        call = len(self._ids)
        self._ids.append(call_id or f"call_{call}")
        self._calls[index] = call
        events.append(ToolCallStarted(call=call, id=self._ids[call], name=name))
        return call

    def _take_usage(self, message: AIMessage, events: list[Event]) -> None:
        """Add this chunk's share: LangChain's integrations split the usage over chunks so that it sums up."""
        share = message.usage_metadata
        if not share:
            return
        so_far = self._usage
        self._usage = UsageReported(
            input_tokens=_sum(so_far.input_tokens, share["input_tokens"]),
            output_tokens=_sum(so_far.output_tokens, share["output_tokens"]),
            reasoning_tokens=_sum(so_far.reasoning_tokens, share.get("output_token_details", {}).get("reasoning")),
            cached_input_tokens=_sum(
                so_far.cached_input_tokens, share.get("input_token_details", {}).get("cache_read")
            ),
        )
        events.append(self._usage)


def _add_text(text: str, events: list[Event]) -> None:
    if text:
        events.append(TextDelta(text=_sound(text)))


def _add_block(block: Mapping[str, Any], events: list[Event]) -> None:
    match block:
        case {"type": "text", "text": str(text)}:
            _add_text(text, events)
        case {"type": "reasoning"}:
            _add_reasoning(block.get("reasoning", ""), (block.get("extras") or {}).get("signature"), events)
        case {"type": "non_standard", "value": {"type": "thinking"} as value}:
            _add_reasoning(value.get("thinking", ""), value.get("signature"), events)
        case {"type": "non_standard", "value": {"type": "refusal", "refusal": str(text)}}:
            events.append(RefusalDelta(text=_sound(text)))
        case {"type": kind} if kind not in _TOLD_ELSEWHERE:
            events.append(Opaque(kind=f"langchain.{kind}", json=json.dumps(block, default=str)))


def _add_reasoning(text: str, signature: str | None, events: list[Event]) -> None:
    if text or signature:
        events.append(ReasoningDelta(text=_sound(text), signature=signature))


def _sound(text: str) -> str:
    """The text without halves of surrogate pairs, which no client could be sent."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _first(metadata: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((value for key in keys if isinstance(value := metadata.get(key), str) and value), None)


def _sum(so_far: int | None, share: int | None) -> int | None:
    return so_far if share is None else (so_far or 0) + share
