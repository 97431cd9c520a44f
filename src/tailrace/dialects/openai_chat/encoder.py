"""OpenAI's chat completions.

The format: https://platform.openai.com/docs/api-reference/chat-streaming. It has no place for reasoning, which goes out
as `reasoning_content`: DeepSeek's field, that llama.cpp and most clients that show reasoning have taken over.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

import msgspec

from tailrace.dialects.base import Encoder, json_bytes
from tailrace.dialects.openai_chat.answer import MESSAGE_KINDS, completion_id, usage_json
from tailrace.dialects.openai_chat.errors import write_failure
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

_EMPTY: Final = b'"role":"assistant","content":""'


class OpenAIChatEncoder(Encoder):
    """A chunk for each event; the first of each choice says the role. `with_usage`: one more chunk before `[DONE]`."""

    def __init__(self, stream_id: str, *, with_usage: bool) -> None:
        super().__init__(stream_id)
        self._completion = completion_id(stream_id)
        self._with_usage = with_usage
        self._usage: UsageReported | None = None
        self._begun: set[int] = set()
        self._text_chunk = self._delta_chunk = b""
        self._learn(model="", created=0)

    def _learn(self, *, model: str, created: int) -> None:
        same = {"id": self._completion, "object": "chat.completion.chunk", "created": created, "model": model}
        self._same = json_bytes(same)[1:-1]
        # Else written when the first delta needs them, for who hands on an upstream's chunks prints none of our own
        if self._begun:
            self._prepare()

    def _prepare(self) -> None:
        self._text_chunk = self._write_chunk(b'{"index":%d,"delta":{"content":%b},"finish_reason":null}')
        self._delta_chunk = self._write_chunk(b'{"index":%d,"delta":{%b%b},"finish_reason":null}')

    def _write_chunk(self, choices: bytes, *, place: bytes = b"%d", usage: bytes | None = None) -> bytes:
        """A chunk with places for what differs: the entry's number first, then those that `choices` has."""
        used = usage or (b"null" if self._with_usage else None)
        ending = b"" if used is None else b',"usage":' + used
        head, same = self._id.replace(b"%", b"%%"), self._same.replace(b"%", b"%%")
        return b'%b%b\ndata: {%b,"choices":[%b]%b}\n\n' % (head, place, same, choices, ending)

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is not TextDelta or event.choice not in self._begun:
            return self._encode_rare(seq, event)
        return self._text_chunk % (seq, event.choice, json_bytes(event.text))

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
        return self._write_chunk(b'{"index":%d,"delta":{},"logprobs":%b,"finish_reason":null}') % (
            seq,
            event.choice,
            value,
        )

    def _delta(self, seq: int, choice: int, piece: bytes) -> bytes:
        """A chunk that adds `piece`, the fields of a delta, to a choice."""
        role = b"" if choice in self._begun else b'"role":"assistant",'
        if not self._begun:
            self._prepare()
        self._begun.add(choice)
        return self._delta_chunk % (seq, choice, role, piece)

    def _finish(self, seq: int, event: Finished) -> bytes:
        deltas = [(choice, b"") for choice in sorted(self._begun)] or [(0, _EMPTY)]
        choices = b",".join(
            b'{"index":%d,"delta":{%b},"finish_reason":"%b"}' % (choice, delta, event.reason.encode())
            for choice, delta in deltas
        )
        frames = [self._write_chunk(choices, place=b"%d.1") % seq]
        if self._with_usage:
            frames.append(self._write_usage(b"%d.2") % seq)
        return b"".join((*frames, self._write_done(seq)))

    def _write_usage(self, place: bytes) -> bytes:
        return self._write_chunk(b"", place=place, usage=json_bytes(usage_json(self._usage)))

    def _write_done(self, seq: int) -> bytes:
        return b"%b%d\ndata: [DONE]\n\n" % (self._id, seq)


def _begin_call(event: ToolCallStarted) -> dict[str, Any]:
    """The first piece of a tool call, which alone has `id`, `type` and the name."""
    function = {"name": event.name, "arguments": ""}
    return {"index": event.call, "id": event.id, "type": "function", "function": function}
