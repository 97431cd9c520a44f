"""Reads the events of an Anthropic message.

The format: https://platform.claude.com/docs/en/build-with-claude/streaming. Event names repeat the payload's `type`,
so only that is read. A whole message is read as if its blocks had come one by one.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tailrace.errors import UpstreamError, WireError
from tailrace.events import (
    FRAME,
    Event,
    FinishReason,
    Opaque,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.providers.answers import LAST_FRAME, AnswerReader, sound
from tailrace.providers.anthropic.payloads import (
    BLOCKS,
    MESSAGES,
    PAYLOADS,
    Delta,
    Message,
    Payload,
    Usage,
    WholeMessage,
)
from tailrace.providers.base import Finish
from tailrace.providers.framing import EventFraming, Framing
from tailrace.providers.payloads import UNTIDY
from tailrace.providers.refusals import break_off, message_of

_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

# The statuses that stand for errors outside a stream: https://platform.claude.com/docs/en/api/errors (2026-11).
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _ToolUse(msgspec.Struct):
    """A tool call whose block is open. Its input comes in pieces, or, from other servers, whole at the start."""

    call: int
    input: str
    in_pieces: bool = False


_decode: Final = PAYLOADS.decode

_LF: Final = 0x0A
_DELTA: Final = b"event: content_block_delta\ndata: "
_NAME: Final = re.compile(r"[\w.-]+", re.ASCII)


class AnthropicReader(AnswerReader):
    """Turns a message's bytes into events; whole at `message_stop`, or where the body ends after a stop reason.

    Every event of a block that has no event here, and every unknown kind of delta or event, becomes an `Opaque` with
    the payload as it came; its kind is the type of the block, else of the delta, else of the event. So does the start
    of a block of text that follows on another.
    """

    def __init__(self, *, model: str, now: float, framing: Framing | None = None) -> None:
        super().__init__(framing or EventFraming(), model=model, now=now)
        self._stopped = False
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._counts = Usage()
        self._calls = 0
        # By the index of the blocks that are open: the types of those without events here, and the tool calls.
        self._opaque: dict[int, str] = {}
        self._tools: dict[int, _ToolUse] = {}
        self._after_text = False
        self._name = ""

    def _read(self, data: bytes, events: list[Event]) -> None:
        for payload in self._split(data):
            try:
                event = _decode(payload)
            except UNTIDY:
                self._take_frame(payload, events)
                continue
            # The quick lane for what nearly every event is: a piece of text in a block of text.
            delta = event.delta
            if (
                delta is not None
                and event.type == "content_block_delta"
                and delta.type == "text_delta"
                and delta.text
                and self._begun
                and event.index not in self._opaque
            ):
                frame = self._dress_delta(payload) if self.keeps_frames else None
                events.append(TextDelta(text=delta.text, frame=frame))
                continue
            first = len(events)
            self._frame = FRAME
            self._take_event(event, payload, events)
            if self.keeps_frames:
                self._keep(payload, events, first)
            if self.done:
                return

    def _dress_delta(self, payload: bytes) -> bytes:
        if payload.isascii() and _LF not in payload:
            return _DELTA + payload
        self._name = "content_block_delta"
        return self._dress(payload)

    def _dress(self, payload: bytes) -> bytes:
        # A frame's name and its payload's type are the same word.
        name = b"event: %b\n" % self._name.encode() if _NAME.fullmatch(self._name) else b""
        return name + b"data: " + sound(payload).replace(b"\n", b"\ndata: ")

    def _take(self, payload: bytes, events: list[Event]) -> None:
        # Proxies that also speak OpenAI's format are seen to end on its terminal.
        if payload.strip() == b"[DONE]":
            self._frame = None
        else:
            self._take_event(PAYLOADS.read(payload), payload, events)

    def _take_event(self, event: Payload, payload: bytes, events: list[Event]) -> None:
        self._name = event.type
        match event.type:
            case "content_block_delta":
                self._take_delta(event, payload, events)
            case "content_block_start":
                self._start_block(event, payload, events)
            case "content_block_stop":
                self._stop_block(event.index, payload, events)
            case "message_start":
                self._start(event.message or Message(), events)
            case "message_delta":
                self._take_stop(event.delta or Delta(), events)
                self._count(event.usage, events)
            case "message_stop":
                self._end()
            case "message":
                self._take_message(MESSAGES.read(payload), events)
            case "ping":
                pass
            case "error" | "":
                raise _failure_in(event)
            case unknown:
                self._add(Opaque(kind=unknown, json=_text_of(payload)), events)

    def _start(self, message: Message, events: list[Event]) -> None:
        if isinstance(message.model, str) and message.model:
            self._model = message.model
        self._count(message.usage, events)

    def _start_block(self, event: Payload, payload: bytes, events: list[Event]) -> None:
        block = BLOCKS.read(bytes(event.content_block) or b"{}")
        after_text, self._after_text = self._after_text, block.type == "text"
        match block.type:
            case "text":
                if after_text:
                    # Where two blocks meet: what is cited belongs to one of them.
                    self._add(Opaque(kind="text", json=_text_of(payload)), events)
                self._add_text(block.text, events)
            case "thinking":
                self._add_reasoning(block.thinking, block.signature, events)
            case "tool_use":
                self._tools[event.index] = _ToolUse(call=self._calls, input=_text_of(bytes(block.input)) or "{}")
                self._add(ToolCallStarted(call=self._calls, id=block.id, name=block.name), events)
                self._calls += 1
            case unknown:
                self._opaque[event.index] = unknown
                self._add(Opaque(kind=unknown, json=_text_of(payload)), events)

    def _take_delta(self, event: Payload, payload: bytes, events: list[Event]) -> None:
        delta = event.delta or Delta()
        kind = self._opaque.get(event.index)
        tool = self._tools.get(event.index)
        if kind is not None:
            self._add(Opaque(kind=kind, json=_text_of(payload)), events)
        elif delta.type == "text_delta":
            self._add_text(delta.text, events)
        elif delta.type in {"thinking_delta", "signature_delta"}:
            self._add_reasoning(delta.thinking, delta.signature, events)
        elif delta.type == "input_json_delta" and tool is not None:
            if delta.partial_json:
                tool.in_pieces = True
                self._add(ToolCallDelta(call=tool.call, arguments=delta.partial_json), events)
        else:
            self._add(Opaque(kind=delta.type or event.type, json=_text_of(payload)), events)

    def _stop_block(self, index: int, payload: bytes, events: list[Event]) -> None:
        tool = self._tools.pop(index, None)
        if tool is not None and not tool.in_pieces:
            self._add(ToolCallDelta(call=tool.call, arguments=tool.input), events)
        kind = self._opaque.pop(index, None)
        if kind is not None:
            self._add(Opaque(kind=kind, json=_text_of(payload)), events)

    def _take_stop(self, delta: Delta, events: list[Event]) -> None:
        if delta.stop_reason:
            self._begin(events)
            self._stop_reason = delta.stop_reason
            self._stop_sequence = delta.stop_sequence

    def _end(self) -> None:
        if not self._begun:
            raise UpstreamError("upstream_invalid", "the message stopped with neither content nor a stop reason")
        self._stopped = self.done = True
        self._frame = LAST_FRAME

    def _take_message(self, message: WholeMessage, events: list[Event]) -> None:
        self._start(Message(model=message.model, usage=message.usage), events)
        for index, block in enumerate(message.content):
            self._take(b'{"type":"content_block_start","index":%d,"content_block":%b}' % (index, bytes(block)), events)
            self._take(b'{"type":"content_block_stop","index":%d}' % index, events)
        self._take_stop(Delta(stop_reason=message.stop_reason, stop_sequence=message.stop_sequence), events)

    def _count(self, usage: Usage | None, events: list[Event]) -> None:
        """Report the figures so far: each is cumulative, and what was not said again still holds."""
        if usage is None:
            return
        for field in usage.__struct_fields__:
            if (value := getattr(usage, field)) is not None:
                setattr(self._counts, field, value)
        counts = self._counts
        cached, created = counts.cache_read_input_tokens, counts.cache_creation_input_tokens
        details = counts.output_tokens_details
        usage_so_far = UsageReported(
            # Tokens read from the cache or written to it are not in `input_tokens`.
            input_tokens=None if counts.input_tokens is None else counts.input_tokens + (cached or 0) + (created or 0),
            output_tokens=counts.output_tokens,
            reasoning_tokens=details.thinking_tokens if details else None,
            cached_input_tokens=cached,
        )
        self._report(usage_so_far, events)

    def _add_text(self, text: str, events: list[Event]) -> None:
        if text:
            self._add(TextDelta(text=text), events)

    def _add_reasoning(self, text: str, signature: str, events: list[Event]) -> None:
        if text or signature:
            self._add(ReasoningDelta(text=text, signature=signature or None), events)

    def _add(self, event: Event, events: list[Event]) -> None:
        self._begin(events)
        events.append(event)

    def _conclude(self) -> Finish | None:
        if not self._stopped and self._stop_reason is None:
            return None
        reason = _REASONS.get(self._stop_reason or "", "stop")
        return Finish(reason=reason, native=self._stop_reason, stop_sequence=self._stop_sequence)


def _failure_in(event: Payload) -> UpstreamError | WireError:
    if not event.error and event.type != "error":
        return WireError("an event without a type")
    kind = event.error.get("type") if isinstance(event.error, dict) else None
    message = message_of(event.error) or (kind if isinstance(kind, str) else "an error without a message")
    return break_off(message, status=_STATUSES.get(kind) if isinstance(kind, str) else None)


def _text_of(payload: bytes) -> str:
    return payload.decode("utf-8", "replace")
