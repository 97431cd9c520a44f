"""The formats of the upstreams, as bytes for a script: what each says when all is well, and when it is not."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, Literal

from tests.upstream import answer, chunk, chunked_head

Reason = Literal["stop", "length"]

REPORTED: Final = (11, 7)
"""The tokens that every upstream here reports of a whole answer; not what a tokenizer would count."""


class Voice(ABC):
    """One format. Its parts follow each other in a script: `head`, `opening`, `say` as often as wished, `end`."""

    provider: ClassVar[str]
    content_type: ClassVar[str] = "text/event-stream"
    reports_input_early: ClassVar[bool] = False
    last_chunk: Final = chunk(b"")

    @property
    def head(self) -> bytes:
        """The status and the headers."""
        return chunked_head(content_type=self.content_type)

    def opening(self, *, reported: bool = True) -> bytes:
        """What comes before any text; in most formats nothing."""
        return b""

    @abstractmethod
    def say(self, text: str) -> bytes:
        """A piece of the answer."""

    @abstractmethod
    def end(self, reason: Reason, *, reported: bool = True) -> bytes:
        """The answer's end in order, with `REPORTED` or without."""

    @abstractmethod
    def complain(self) -> bytes:
        """An error in mid-stream."""

    def refuse(self) -> bytes:
        """A whole response that is an error."""
        return answer(b'{"error":{"message":"out of order"}}', "500 No", content_type="application/json")


class OpenAIVoice(Voice):
    """Chunks of a chat completion."""

    provider = "openai"

    def say(self, text: str) -> bytes:
        return _data(choices=[{"index": 0, "delta": {"content": text}}])

    def end(self, reason: Reason, *, reported: bool = True) -> bytes:
        end = _data(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])
        if reported:
            end += _data(choices=[], usage={"prompt_tokens": REPORTED[0], "completion_tokens": REPORTED[1]})
        return end + chunk(b"data: [DONE]\n\n") + self.last_chunk

    def complain(self) -> bytes:
        return _data(error={"message": "out of order", "type": "server_error"})


class AnthropicVoice(Voice):
    """Events of a message."""

    provider = "anthropic"
    reports_input_early = True

    def opening(self, *, reported: bool = True) -> bytes:
        usage = {"usage": {"input_tokens": REPORTED[0], "output_tokens": 1}} if reported else {}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], **usage}
        opening = _event("message_start", message=message)
        return opening + _event("content_block_start", index=0, content_block={"type": "text", "text": ""})

    def say(self, text: str) -> bytes:
        return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def end(self, reason: Reason, *, reported: bool = True) -> bytes:
        word = {"stop": "end_turn", "length": "max_tokens"}[reason]
        usage = {"usage": {"output_tokens": REPORTED[1]}} if reported else {}
        end = _event("content_block_stop", index=0) + _event("message_delta", delta={"stop_reason": word}, **usage)
        return end + _event("message_stop") + self.last_chunk

    def complain(self) -> bytes:
        return _event("error", error={"type": "api_error", "message": "out of order"})


class OllamaVoice(Voice):
    """Lines of a chat."""

    provider = "ollama"
    content_type = "application/x-ndjson"

    def say(self, text: str) -> bytes:
        return _line(message={"role": "assistant", "content": text}, done=False)

    def end(self, reason: Reason, *, reported: bool = True) -> bytes:
        counts = {"prompt_eval_count": REPORTED[0], "eval_count": REPORTED[1]} if reported else {}
        return _line(message={"role": "assistant", "content": ""}, done=True, done_reason=reason, **counts) + (
            self.last_chunk
        )

    def complain(self) -> bytes:
        return _line(error="out of order")


VOICES: Final = (OpenAIVoice(), AnthropicVoice(), OllamaVoice())


def _data(**payload: Any) -> bytes:
    return chunk(f"data: {json.dumps(payload)}\n\n".encode())


def _event(kind: str, **payload: Any) -> bytes:
    return chunk(f"event: {kind}\ndata: {json.dumps({'type': kind, **payload})}\n\n".encode())


def _line(**payload: Any) -> bytes:
    return chunk(json.dumps({"model": "m", **payload}).encode() + b"\n")
