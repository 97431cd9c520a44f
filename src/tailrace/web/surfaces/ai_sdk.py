"""The AI SDK's routes: where `useChat` asks, comes back to and stops an answer."""

from __future__ import annotations

from typing import Final

from tailrace.dialects import AI_SDK
from tailrace.web.answers import Answers
from tailrace.web.chats import Chats
from tailrace.web.endpoints import Endpoints
from tailrace.web.openapi import ai_sdk

_GRACE_S: Final = 10.0
"""A page that is loaded anew comes back for its answer; what its user stops goes on for so long, unless cancelled."""


def add_ai_sdk(endpoints: Endpoints, answers: Answers, chats: Chats) -> None:
    """What the transport of `useChat` asks for, under `api: "…/ai-sdk/chat"`."""
    chatting = answers.posting(AI_SDK, on_disconnect=_GRACE_S)
    endpoints.add("POST", "/ai-sdk/chat", chatting, ai_sdk.chatting(), dialect=AI_SDK)
    # A chat's id is any text, and so may hold a slash
    chat = "/ai-sdk/chat/{chat_id:path}"
    endpoints.add("GET", f"{chat}/stream", chats.resume, ai_sdk.resuming(), dialect=AI_SDK)
    endpoints.add("POST", f"{chat}/cancel", chats.cancel, ai_sdk.cancelling(), dialect=AI_SDK)
