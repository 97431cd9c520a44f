"""What `/openapi.json` says of the AI SDK's routes."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from tailrace.dialects.ai_sdk.body import UIChatBody
from tailrace.web.openapi.building import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    ON_DISCONNECT,
    Schema,
    json_of,
    responses_with,
    streams_in,
)
from tailrace.web.schemas import StreamState

_CHAT_ID: Final = {"name": "chat_id", "in": "path", "required": True, "schema": {"type": "string"}}
_MARK: Final = {
    "x-vercel-ai-ui-message-stream": {"schema": {"const": "v1"}, "description": "With a stream: the format's version."}
}


class UIMessage(BaseModel):
    """A whole UI message of the assistant's."""

    id: str
    role: str
    metadata: dict[str, Any]
    parts: list[dict[str, Any]]


def chatting() -> Schema:
    """A chat as `useChat` asks for it."""
    responses = responses_with({**json_of(UIMessage), **streams_in("ai_sdk")}, resumes=True)
    return {
        "summary": "An answer as the AI SDK's UI message stream; one UI message where `stream` is false",
        "parameters": [LAST_EVENT_ID, ON_DISCONNECT, IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": json_of(UIChatBody)},
        "responses": _marked(responses),
    }


def resuming() -> Schema:
    """The answer under way."""
    responses = _marked(responses_with(streams_in("ai_sdk")))
    return {
        "summary": "The answer under way in a chat, from its start",
        "parameters": [_CHAT_ID],
        "responses": {**responses, "204": {"description": "Nothing is running."}},
    }


def cancelling() -> Schema:
    """The end of it."""
    return {
        "summary": "Stop the answer of a chat; the same answer each time",
        "parameters": [_CHAT_ID],
        "responses": responses_with(json_of(StreamState)),
    }


def _marked(responses: Schema) -> Schema:
    return {**responses, "200": {**responses["200"], "headers": _MARK}}
