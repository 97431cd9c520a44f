"""OpenAI's chat completions.

The format: https://platform.openai.com/docs/api-reference/chat-streaming. It has no place for reasoning, which goes out
as `reasoning_content`: DeepSeek's field, that llama.cpp and most clients that show reasoning have taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec

from tailrace.dialects.base import Call, Dialect, Encoder, json_bytes
from tailrace.dialects.openai_chat_answer import MESSAGE_KINDS, completion_id, fold_completion, usage_json
from tailrace.dialects.openai_chat_body import read_completion
from tailrace.dialects.openai_errors import write_failure, write_refusal
from tailrace.errors import RequestError
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

_JSON: Final = "application/json"
_EMPTY: Final = b'"role":"assistant","content":""'


class OpenAIChatEncoder(Encoder):
    """A chunk for each event; the first of each choice says the role. `with_usage`: one more chunk before `[DONE]`."""

    def __init__(self, stream_id: str, *, with_usage: bool) -> None:
        super().__init__(stream_id)
        self._completion = completion_id(stream_id)
        self._with_usage = with_usage
        self._usage: UsageReported | None = None
        self._begun: set[int] = set()
        self._learn(model="", created=0)

    def _learn(self, *, model: str, created: int) -> None:
        """Write what is the same in all chunks, and what stands around all deltas."""
        same = {"id": self._completion, "object": "chat.completion.chunk", "created": created, "model": model}
        self._opening = b'data: %b,"choices":[' % json_bytes(same)[:-1]
        self._closing = b'],"usage":null}\n\n' if self._with_usage else b"]}\n\n"
        self._before_delta = self._opening + b'{"index":'
        self._after_delta = b'},"finish_reason":null}' + self._closing

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is not TextDelta or event.choice not in self._begun:
            return self._encode_rare(seq, event)
        return b'%b%d\n%b%d,"delta":{"content":%b%b' % (
            self._id,
            seq,
            self._before_delta,
            event.choice,
            json_bytes(event.text),
            self._after_delta,
        )

    def _encode_rare(self, seq: int, event: Event) -> bytes:
        match event:
            case ToolCallDelta():
                arguments = json_bytes(event.arguments)
                piece = b'"tool_calls":[{"index":%d,"function":{"arguments":%b}}]' % (event.call, arguments)
                return self._delta(seq, event.choice, piece)
            case ReasoningDelta(text=text):
                # A signature alone has no place in this format.
                return self._delta(seq, event.choice, b'"reasoning_content":%b' % json_bytes(text)) if text else b""
            case TextDelta(text=text):
                return self._delta(seq, event.choice, b'"content":%b' % json_bytes(text))
            case RefusalDelta(text=text):
                return self._delta(seq, event.choice, b'"refusal":%b' % json_bytes(text))
            case ToolCallStarted():
                return self._delta(seq, event.choice, b'"tool_calls":[%b]' % json_bytes(_begin_call(event)))
            case Opaque():
                return self._opaque(seq, event)
            case Started() | UsageReported() | Finished() | Failed():
                return self._mark(seq, event)
            case _:
                assert_never(event)

    def _mark(self, seq: int, event: Started | UsageReported | Finished | Failed) -> bytes:
        match event:
            case Started(model=model, created_at=created_at):
                self._learn(model=model, created=int(created_at))
                return b""
            case UsageReported():
                self._usage = event
                return b""
            case Finished():
                return self._finish(seq, event)
            case Failed():
                return b"%b%d\ndata: %b\n\n" % (self._id, seq, write_failure(event))

    def _opaque(self, seq: int, event: Opaque) -> bytes:
        """What OpenAI's own upstreams have beside text; another vendor's has no place here."""
        if event.kind not in ("logprobs", *MESSAGE_KINDS):
            return b""
        value = json_bytes(msgspec.json.decode(event.json))
        if event.kind in MESSAGE_KINDS:
            return self._delta(seq, event.choice, b'"%b":%b' % (event.kind.encode(), value))
        choice = b'{"index":%d,"delta":{},"logprobs":%b,"finish_reason":null}' % (event.choice, value)
        return b"%b%d\n%b%b%b" % (self._id, seq, self._opening, choice, self._closing)

    def _delta(self, seq: int, choice: int, piece: bytes) -> bytes:
        """A chunk that adds `piece`, the fields of a delta, to a choice."""
        role = b"" if choice in self._begun else b'"role":"assistant",'
        self._begun.add(choice)
        return b'%b%d\n%b%d,"delta":{%b%b%b' % (
            self._id,
            seq,
            self._before_delta,
            choice,
            role,
            piece,
            self._after_delta,
        )

    def _finish(self, seq: int, event: Finished) -> bytes:
        ends = b",".join(
            b'{"index":%d,"delta":{%b},"finish_reason":"%b"}' % (choice, delta, event.reason.encode())
            for choice, delta in ([(choice, b"") for choice in sorted(self._begun)] or [(0, _EMPTY)])
        )
        finish = b"%b%d.1\n%b%b%b" % (self._id, seq, self._opening, ends, self._closing)
        done = b"%b%d\ndata: [DONE]\n\n" % (self._id, seq)
        if not self._with_usage:
            return finish + done
        usage = json_bytes(usage_json(self._usage))
        return finish + b'%b%d.2\n%b],"usage":%b}\n\n' % (self._id, seq, self._opening, usage) + done


def _begin_call(event: ToolCallStarted) -> dict[str, Any]:
    """The first piece of a tool call, which alone has `id`, `type` and the name."""
    function = {"name": event.name, "arguments": ""}
    return {"index": event.call, "id": event.id, "type": "function", "function": function}


class OpenAIChat(Dialect):
    """Chat completions, with the usage at a stream's end or without."""

    def __init__(self, name: str, *, with_usage: bool, variants: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.variants = variants
        self._with_usage = with_usage

    def parse(self, body: bytes) -> Call:
        asked = read_completion(body)
        return asked.to_call(dialect=OPENAI_CHAT_USAGE.name if asked.wants_usage else None)

    def encoder(self, stream_id: str) -> Encoder:
        return OpenAIChatEncoder(stream_id, with_usage=self._with_usage)

    def whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return json_bytes(fold_completion(stream_id, events))

    def refusal(self, error: RequestError, request_id: str) -> tuple[str, bytes]:
        return _JSON, write_refusal(error)

    def failure(self, failed: Failed, events: Sequence[Event], request_id: str) -> tuple[str, bytes]:
        return _JSON, write_failure(failed)


OPENAI_CHAT_USAGE = OpenAIChat("openai_chat_usage", with_usage=True)
"""What a body with `stream_options.include_usage` asks for."""

OPENAI_CHAT = OpenAIChat("openai_chat", with_usage=False, variants=frozenset({OPENAI_CHAT_USAGE.name}))
