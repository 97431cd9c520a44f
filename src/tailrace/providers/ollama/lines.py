"""Reads the lines of an Ollama chat answer, each a JSON object.

The format: https://docs.ollama.com/api/chat. A whole answer has the shape of a last line that brings the text too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

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
from tailrace.providers.base import Finish
from tailrace.providers.framing import Framing, LineFraming
from tailrace.providers.payloads import UNTIDY, Count, PayloadDecoder, write_json
from tailrace.providers.refusals import break_off, message_of


class _Function(msgspec.Struct, gc=False):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Line(msgspec.Struct, gc=False):
    message: _Message | None = None
    done: bool = False
    model: Any = None
    created_at: Any = None
    done_reason: str | None = None
    prompt_eval_count: Count | None = None
    eval_count: Count | None = None
    logprobs: Any = None
    error: Any = None


_lines: Final = PayloadDecoder(_Line, expendable=("prompt_eval_count", "eval_count"))
_decode: Final = _lines.decode


class OllamaReader(AnswerReader):
    """Turns an answer's bytes into events; whole at the line that says `done`.

    Tool calls come whole. A call without an id gets one that is unique to the answer by `nonce`, since a client needs
    it to hand the result back.
    """

    def __init__(self, *, model: str, now: float, nonce: str = "", framing: Framing | None = None) -> None:
        super().__init__(framing or LineFraming(), model=model, now=now)
        self._nonce = nonce
        self._calls = 0
        self._finish: Finish | None = None

    def _read(self, data: bytes, events: list[Event]) -> None:
        for payload in self._split(data):
            try:
                line = _decode(payload)
            except UNTIDY:
                line = _lines.mend(payload)
            # The quick lane for what nearly every line is: a piece of text.
            message = line.message
            if (
                message is not None
                and message.content
                and self._begun
                and not line.done
                and message.thinking is None
                and message.tool_calls is None
                and line.logprobs is None
            ):
                frame = sound(payload) if self.keeps_frames else None
                events.append(TextDelta(text=message.content, frame=frame))
                continue
            first = len(events)
            self._frame = FRAME
            self._take_line(line, events)
            if self.keeps_frames:
                self._keep(payload, events, first)
            if self.done:
                return

    def _take(self, payload: bytes, events: list[Event]) -> None:
        self._take_line(_lines.read(payload), events)

    def _take_line(self, line: _Line, events: list[Event]) -> None:
        if line.error:
            raise break_off(message_of(line.error) or "an error without a message")
        if line.message is not None:
            self._take_message(line.message, line, events)
        if line.logprobs:
            self._open(line, events)
            events.append(Opaque(kind="logprobs", json=write_json({"content": line.logprobs})))
        if line.done:
            self._open(line, events)
            self._report(UsageReported(input_tokens=line.prompt_eval_count, output_tokens=line.eval_count), events)
            self._finish = Finish(reason=self._reason(line.done_reason), native=line.done_reason)
            self.done = True
            self._frame = LAST_FRAME

    def _take_message(self, message: _Message, line: _Line, events: list[Event]) -> None:
        if message.thinking or message.content or message.tool_calls:
            self._open(line, events)
        if message.thinking:
            events.append(ReasoningDelta(text=message.thinking))
        if message.content:
            events.append(TextDelta(text=message.content))
        for call in message.tool_calls or ():
            self._take_call(call, events)

    def _take_call(self, call: _ToolCall, events: list[Event]) -> None:
        number = self._calls
        self._calls += 1
        call_id = call.id or f"call_{self._nonce}_{number}"
        events.append(ToolCallStarted(call=number, id=call_id, name=call.function.name))
        events.append(ToolCallDelta(call=number, arguments=_arguments(call.function.arguments)))

    def _open(self, line: _Line, events: list[Event]) -> None:
        if not self._begun:
            if isinstance(line.model, str) and line.model:
                self._model = line.model
            self._created_at = _timestamp(line.created_at) or self._created_at
            self._begin(events)

    def _reason(self, word: str | None) -> FinishReason:
        if word == "length":
            return "length"
        # Ollama says "stop" where the model stopped to have its tools called.
        return "tool_calls" if self._calls else "stop"

    def _conclude(self) -> Finish | None:
        return self._finish


def _arguments(raw: msgspec.Raw) -> str:
    text = bytes(raw).decode("utf-8", "replace")
    if text == "null":
        return "{}"
    # Models behind other servers of this format are seen to send the JSON as a string.
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text


def _timestamp(value: Any) -> float | None:
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
