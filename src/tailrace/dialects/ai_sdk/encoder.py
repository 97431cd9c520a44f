"""The AI SDK's UI message stream, version 1.

The format: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol. An answer is one step of a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, assert_never

import msgspec

from tailrace.dialects.ai_sdk.answer import (
    FINISH_REASONS,
    NO_JSON,
    fold_message,
    metadata_json,
    redacted_json,
    signature_json,
)
from tailrace.dialects.ai_sdk.body import read_chat
from tailrace.dialects.ai_sdk.inputs import read_input
from tailrace.dialects.base import Call, Dialect, Encoder, json_bytes
from tailrace.dialects.delta import DELTA
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


class _ToolCall(msgspec.Struct, kw_only=True):
    """A tool call as it grows."""

    id: str
    name: str
    pieces: list[str] = []


class AISDKEncoder(Encoder):
    """A chunk of the SDK's for each thing that happens; parts of text and of reasoning are opened and closed.

    `continues`: the client goes on in a message that it has, whose id is not told anew.
    """

    def __init__(self, stream_id: str, *, continues: bool) -> None:
        super().__init__(stream_id)
        self._start = {"type": "start", **({} if continues else {"messageId": stream_id})}
        self._model = ""
        self._usage: UsageReported | None = None
        self._open: Literal["text", "reasoning"] | None = None
        self._parts = 0
        self._text_frame = b""
        self._calls: dict[int, _ToolCall] = {}

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is not TextDelta or self._open != "text":
            return self._encode_rare(seq, event, count)
        return self._text_frame % (seq, json_bytes(event.text))

    def _encode_rare(self, seq: int, event: Event, count: int) -> bytes:
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                # Joined texts open their part where the first of them did
                opening = self._frames(seq - count + 1, self._begin("text"), last=False)
                return opening + self._text_frame % (seq, json_bytes(text))
            case UsageReported():
                self._usage = event
                return b""
            case _:
                return self._frames(seq, self._chunks(event))

    def _chunks(
        self, event: Started | ReasoningDelta | ToolCallStarted | ToolCallDelta | Opaque | Finished | Failed
    ) -> list[Any]:
        match event:
            case Started(model=model):
                self._model = model
                return [self._start, {"type": "start-step"}]
            case ReasoningDelta(text=text, signature=signature):
                return self._reason(text, signature)
            case Opaque():
                return self._redact(event)
            case ToolCallStarted(call=call, id=call_id, name=name):
                self._calls[call] = _ToolCall(id=call_id, name=name)
                return [*self._end(), {"type": "tool-input-start", "toolCallId": call_id, "toolName": name}]
            case ToolCallDelta(call=call, arguments=arguments):
                return self._add_input(call, arguments)
            case Finished():
                return self._finish(event)
            case Failed():
                return [*self._end(), _failure(event)]
            case _:
                assert_never(event)

    def _begin(self, kind: Literal["text", "reasoning"], **more: Any) -> list[Any]:
        """The chunks that open a part of this kind, where none is open."""
        if self._open == kind:
            return []
        ended = self._end()
        self._open = kind
        self._parts += 1
        if kind == "text":
            head = self._id.replace(b"%", b"%%")
            self._text_frame = b'%b%%d\ndata: {"type":"text-delta","id":"%d","delta":%%b}\n\n' % (head, self._parts)
        return [*ended, {"type": f"{kind}-start", "id": str(self._parts), **more}]

    def _end(self, **more: Any) -> list[Any]:
        """The chunk that closes the open part, where there is one."""
        if self._open is None:
            return []
        ended = {"type": f"{self._open}-end", "id": str(self._parts), **more}
        self._open = None
        return [ended]

    def _reason(self, text: str, signature: str | None) -> list[Any]:
        if not text and signature is None:
            return []
        chunks = self._begin("reasoning")
        if text:
            chunks.append({"type": "reasoning-delta", "id": str(self._parts), "delta": text})
        if signature is not None:
            chunks += self._end(providerMetadata=signature_json(signature))
        return chunks

    def _redact(self, event: Opaque) -> list[Any]:
        metadata = redacted_json(event)
        if metadata is None:
            return []
        return [*self._end(), *self._begin("reasoning", providerMetadata=metadata), *self._end()]

    def _add_input(self, call: int, arguments: str) -> list[Any]:
        made = self._calls.get(call)
        if made is None:
            return []
        made.pieces.append(arguments)
        return [{"type": "tool-input-delta", "toolCallId": made.id, "inputTextDelta": arguments}]

    def _finish(self, event: Finished) -> list[Any]:
        finish = {
            "type": "finish",
            "finishReason": FINISH_REASONS[event.reason],
            "messageMetadata": metadata_json(self._model, self._usage),
        }
        calls = [_close_call(call) for call in self._calls.values()]
        return [*self._end(), *calls, {"type": "finish-step"}, finish, b"[DONE]"]

    def _frames(self, seq: int, chunks: Sequence[Any], *, last: bool = True) -> bytes:
        """A frame for each chunk; `last`: the last of them ends the entry."""
        frames: list[bytes] = []
        for place, chunk in enumerate(chunks, 1):
            number = b"%d" % seq if last and place == len(chunks) else b"%d.%d" % (seq, place)
            data = chunk if isinstance(chunk, bytes) else json_bytes(chunk)
            frames.append(b"%b%b\ndata: %b\n\n" % (self._id, number, data))
        return b"".join(frames)


def _close_call(call: _ToolCall) -> dict[str, Any]:
    """A call's whole input; one that is no JSON is an error of the tool's, as where the SDK itself asks a model."""
    text = "".join(call.pieces)
    same = {"toolCallId": call.id, "toolName": call.name}
    value = read_input(text)
    if value is None:
        return {"type": "tool-input-error", **same, "input": text, "errorText": NO_JSON}
    return {"type": "tool-input-available", **same, "input": value}


def _failure(failed: Failed) -> dict[str, Any]:
    """The last chunk of an answer that is not whole; the client throws on an `error`, and stops on an `abort`."""
    if failed.code == "cancelled":
        return {"type": "abort", "reason": failed.message}
    return {"type": "error", "errorText": failed.message}


class AISDK(Dialect):
    """A UI message stream, of a new message or of one that goes on."""

    headers = ((b"x-vercel-ai-ui-message-stream", b"v1"),)

    def __init__(self, name: str, *, continues: bool, variants: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.variants = variants
        self._continues = continues

    def parse(self, body: bytes) -> Call:
        return read_chat(body).to_call(continued=AI_SDK_CONTINUED.name)

    def encoder(self, stream_id: str) -> Encoder:
        return AISDKEncoder(stream_id, continues=self._continues)

    def whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return json_bytes(fold_message(stream_id, events))

    def refusal(self, error: RequestError, request_id: str) -> tuple[str, bytes]:
        return DELTA.refusal(error, request_id)

    def failure(self, failed: Failed, events: Sequence[Event], request_id: str) -> tuple[str, bytes]:
        return DELTA.failure(failed, events, request_id)


AI_SDK_CONTINUED: Final = AISDK("ai_sdk_continued", continues=True)
"""What answers a conversation whose last message is the assistant's own."""

AI_SDK: Final = AISDK("ai_sdk", continues=False, variants=frozenset({AI_SDK_CONTINUED.name}))
