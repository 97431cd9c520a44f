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
_EMPTY: Final[dict[int, dict[str, Any]]] = {0: {"role": "assistant", "content": ""}}


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
        """Write what is the same in all chunks: from `data` to the choices, and from there to the blank line."""
        same = {"id": self._completion, "object": "chat.completion.chunk", "created": created, "model": model}
        self._opening = b'data: %b,"choices":' % json_bytes(same)[:-1]
        self._closing = b',"usage":null}\n\n' if self._with_usage else b"}\n\n"
        self._before_text = self._opening + b'[{"index":'
        self._after_text = b'},"finish_reason":null}]' + self._closing

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is not TextDelta or event.choice not in self._begun:
            return self._encode_rare(seq, event)
        return b'%b%d\n%b%d,"delta":{"content":%b%b' % (
            self._id,
            seq,
            self._before_text,
            event.choice,
            json_bytes(event.text),
            self._after_text,
        )

    def _encode_rare(self, seq: int, event: Event) -> bytes:
        match event:
            case Started(model=model, created_at=created_at):
                self._learn(model=model, created=int(created_at))
                return b""
            case TextDelta(text=text, choice=choice):
                return self._delta(seq, choice, content=text)
            case ReasoningDelta(text=text, choice=choice):
                # A signature alone has no place in this format.
                return self._delta(seq, choice, reasoning_content=text) if text else b""
            case RefusalDelta(text=text, choice=choice):
                return self._delta(seq, choice, refusal=text)
            case ToolCallStarted() | ToolCallDelta():
                return self._delta(seq, event.choice, tool_calls=[_tool_call(event)])
            case Opaque():
                return self._opaque(seq, event)
            case UsageReported():
                self._usage = event
                return b""
            case Finished():
                return self._finish(seq, event)
            case Failed():
                return b"%b%d\ndata: %b\n\n" % (self._id, seq, write_failure(event))
            case _:
                assert_never(event)

    def _opaque(self, seq: int, event: Opaque) -> bytes:
        """What OpenAI's own upstreams have beside text; another vendor's has no place here."""
        if event.kind == "logprobs":
            return self._choice(seq, event.choice, {"logprobs": msgspec.json.decode(event.json)})
        if event.kind in MESSAGE_KINDS:
            return self._delta(seq, event.choice, **{event.kind: msgspec.json.decode(event.json)})
        return b""

    def _delta(self, seq: int, choice: int, **delta: Any) -> bytes:
        return self._choice(seq, choice, {}, **delta)

    def _choice(self, seq: int, choice: int, beside: dict[str, Any], **delta: Any) -> bytes:
        if choice not in self._begun:
            self._begun.add(choice)
            delta = {"role": "assistant", **delta}
        return self._chunk(str(seq), [{"index": choice, "delta": delta, **beside, "finish_reason": None}])

    def _finish(self, seq: int, event: Finished) -> bytes:
        deltas: dict[int, dict[str, Any]] = {index: {} for index in sorted(self._begun)}
        finish = self._chunk(
            f"{seq}.1",
            [
                {"index": index, "delta": delta, "finish_reason": event.reason}
                for index, delta in (deltas or _EMPTY).items()
            ],
        )
        done = b"%b%d\ndata: [DONE]\n\n" % (self._id, seq)
        if not self._with_usage:
            return finish + done
        usage = json_bytes(usage_json(self._usage))
        return finish + b'%b%d.2\n%b[],"usage":%b}\n\n' % (self._id, seq, self._opening, usage) + done

    def _chunk(self, place: str, choices: list[dict[str, Any]]) -> bytes:
        return b"%b%b\n%b%b%b" % (self._id, place.encode(), self._opening, json_bytes(choices), self._closing)


def _tool_call(event: ToolCallStarted | ToolCallDelta) -> dict[str, Any]:
    """A piece of a tool call; `id`, `type` and the name come with the first."""
    match event:
        case ToolCallStarted(call=call, id=call_id, name=name):
            function = {"name": name, "arguments": ""}
            return {"index": call, "id": call_id, "type": "function", "function": function}
        case ToolCallDelta(call=call, arguments=arguments):
            return {"index": call, "function": {"arguments": arguments}}


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
