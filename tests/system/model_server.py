"""A model server in the hand of a test, for a tailrace in a process of its own: it says what it is told to say."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self, TypeAlias

from tests.upstream import ReceivedRequest, Script, ScriptedUpstream, Step, chunk, chunked_head

Saying: TypeAlias = str | asyncio.Event | Step
"""A piece of text, sent as a chunk of its own; an event to wait for; or something else that a script can do."""


class ModelServer:
    """Speaks OpenAI's and Anthropic's formats, by the path that is asked. `env` points a tailrace at it."""

    def __init__(self) -> None:
        self._upstream = ScriptedUpstream(self._answer)
        self._sayings: tuple[Saying, ...] = ()
        self._refusal: bytes | None = None

    @property
    def env(self) -> dict[str, str]:
        url = self._upstream.url
        return {"OPENAI_BASE_URL": f"{url}/v1", "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "sk-ant-of-a-test"}

    @property
    def asked(self) -> int:
        """How many requests have come."""
        return len(self._upstream.requests)

    def say(self, *sayings: Saying) -> None:
        """Answer every request from now on like this; whole, unless the last step says otherwise."""
        self._sayings, self._refusal = sayings, None

    def refuse(self, response: bytes) -> None:
        """Answer every request from now on with this, head and all."""
        self._refusal = response

    async def has_seen_leave(self, connections: int = 1) -> None:
        """Wait until so many connections were closed."""
        await self._upstream.closed_by(connections)

    async def __aenter__(self) -> Self:
        await self._upstream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._upstream.__aexit__(kind, error, trace)

    def _answer(self, request: ReceivedRequest) -> Script:
        if self._refusal is not None:
            return [self._refusal]
        speak = _speak_anthropic if request.target.endswith("/messages") else _speak_openai
        return speak(self._sayings, broken=bool(self._sayings) and isinstance(self._sayings[-1], Step))


def _speak_openai(sayings: tuple[Saying, ...], *, broken: bool) -> Script:
    told = [_choice({"content": saying}) if isinstance(saying, str) else saying for saying in sayings]
    end = _choice({}, "stop") + chunk(b"data: [DONE]\n\n") + chunk(b"")
    return [chunked_head(), *told, *([] if broken else [end])]


def _choice(delta: dict[str, str], reason: str | None = None) -> bytes:
    payload = {"model": "gpt", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return chunk(b"data: %b\n\n" % json.dumps(payload, ensure_ascii=False).encode())


def _speak_anthropic(sayings: tuple[Saying, ...], *, broken: bool) -> Script:
    usage = {"input_tokens": 3, "output_tokens": 1}
    opening = _event("message_start", message={"id": "msg_1", "model": "claude", "usage": usage})
    opening += _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    told = [_text(saying) if isinstance(saying, str) else saying for saying in sayings]
    end = _event("content_block_stop", index=0)
    end += _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": len(sayings)})
    end += _event("message_stop") + chunk(b"")
    return [chunked_head(), opening, *told, *([] if broken else [end])]


def _text(text: str) -> bytes:
    return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def _event(kind: str, **fields: Any) -> bytes:
    payload = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return chunk(f"event: {kind}\ndata: {payload}\n\n".encode())
