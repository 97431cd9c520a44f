"""How a stream of each format is asked for, on the route that speaks it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_MESSAGES: Final = [{"role": "user", "content": "Hi"}]
_TURN: Final = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
_HALF: Final = {"id": "a1", "role": "assistant", "parts": [{"type": "text", "text": "So"}]}


class Surface(msgspec.Struct, frozen=True, kw_only=True):
    """A route that takes POSTs, and a body for it without the model."""

    path: str
    body: dict[str, Any]

    def asking(self, model: str) -> dict[str, Any]:
        """The body that asks this model."""
        return {**self.body, "model": model}


SURFACES: Final = {
    "delta": Surface(path="/v1/chat/stream", body={"message": "Hi"}),
    "token": Surface(path="/chat/stream", body={"message": "Hi"}),
    "meta": Surface(path="/chat/stream-meta", body={"message": "Hi"}),
    "openai_chat": Surface(path="/v1/chat/completions", body={"messages": _MESSAGES, "stream": True}),
    "openai_chat_usage": Surface(
        path="/v1/chat/completions",
        body={"messages": _MESSAGES, "stream": True, "stream_options": {"include_usage": True}},
    ),
    "openai_responses": Surface(path="/v1/responses", body={"input": "Hi", "stream": True}),
    "anthropic": Surface(path="/v1/messages", body={"messages": _MESSAGES, "stream": True, "max_tokens": 9999}),
    "ai_sdk": Surface(path="/ai-sdk/chat", body={"id": "c1", "messages": [_TURN], "trigger": "submit-message"}),
    "ai_sdk_continued": Surface(
        path="/ai-sdk/chat", body={"id": "c2", "messages": [_TURN, _HALF], "trigger": "submit-message"}
    ),
}
"""By the format's name; `raw`, whose body is an array, is not among them."""
