"""Ollama's chat and generate.

The format: https://docs.ollama.com/api/streaming. One JSON object a line: no ids, no comments, no heartbeats, and no
cursor for its clients, so that a stream is resumed by the number of an entry alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

import msgspec

from tailrace.dialects.base import Encoder, json_bytes
from tailrace.dialects.ollama.answer import Said, figures_json, logprobs_of, timestamp
from tailrace.dialects.ollama.calls import HeldCalls
from tailrace.dialects.ollama.errors import write_error, write_failure
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

_NOTHING: Final = b'""'


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """Where a line has what the model said: `before` with a place for the text, `after` behind what else there is.

    `asked` is the field of a body that holds the conversation.
    """

    asked: str
    before: bytes
    after: bytes
    place: Callable[[Said], Said]

    def write(self, text: bytes, more: bytes = b"") -> bytes:
        """The fields of a line. `text` is JSON, or a place for it; `more` further fields, with a comma before."""
        return self.before % text + more + self.after


CHAT: Final = Wording(
    asked="messages",
    before=b'"message":{"role":"assistant","content":%b',
    after=b"}",
    place=lambda said: {"message": {"role": "assistant", **said}},
)
GENERATE: Final = Wording(
    asked="prompt",
    before=b'"response":%b',
    after=b"",
    place=lambda said: {"response": said["content"], **{name: said[name] for name in said if name != "content"}},
)


class OllamaEncoder(Encoder):
    """A line for each piece of text and thinking; tool calls, held until they are whole, and figures at the end."""

    heartbeat = b""

    def __init__(self, stream_id: str, wording: Wording) -> None:
        super().__init__(stream_id)
        self._wording = wording
        self._calls = HeldCalls()
        self._usage: UsageReported | None = None
        self._learn(model="", created_at=0.0)

    def _learn(self, *, model: str, created_at: float) -> None:
        same = json_bytes({"model": model, "created_at": timestamp(created_at)})
        self._same = same[:-1] + b","
        fields = self._wording.write(b"%b")
        self._text_line = self._same.replace(b"%", b"%%") + fields + b',"done":false}\n'

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is not TextDelta or event.choice:
            return self._encode_rare(event)
        return self._text_line % json_bytes(event.text)

    def _encode_rare(self, event: Event) -> bytes:
        # Other answers to the same question have no place here: Ollama gives one.
        if getattr(event, "choice", 0):
            return b""
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                return self._text_line % json_bytes(text)
            case ReasoningDelta(text=text):
                return self._line(b',"thinking":%b' % json_bytes(text)) if text else b""
            case ToolCallStarted() | ToolCallDelta():
                self._calls.add(event)
                return b""
            case Opaque():
                found = logprobs_of(event)
                return b"" if found is None else self._line(beside=b',"logprobs":%b' % json_bytes(found))
            case Started() | UsageReported() | Finished() | Failed():
                return self._mark(event)
            case _:
                assert_never(event)

    def _mark(self, event: Started | UsageReported | Finished | Failed) -> bytes:
        match event:
            case Started(model=model, created_at=created_at):
                self._learn(model=model, created_at=created_at)
                return b""
            case UsageReported():
                self._usage = event
                return b""
            case Finished():
                return self._finish(event)
            case Failed():
                return write_failure(event, asked=self._wording.asked) + b"\n"

    def _finish(self, event: Finished) -> bytes:
        try:
            calls = self._calls.write(cut=event.reason == "length")
        except WireError as error:
            return write_error(str(error)) + b"\n"
        called = self._line(b',"tool_calls":%b' % json_bytes(calls)) if calls else b""
        figures = json_bytes({"done": True, **figures_json(event, self._usage)})
        return called + self._same + self._wording.write(_NOTHING) + b"," + figures[1:] + b"\n"

    def _line(self, more: bytes = b"", *, beside: bytes = b"") -> bytes:
        """A line without text: with `more` of what the model said, or with something `beside` it."""
        return self._same + self._wording.write(_NOTHING, more) + b',"done":false' + beside + b"}\n"
