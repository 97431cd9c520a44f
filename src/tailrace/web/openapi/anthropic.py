"""What `/openapi.json` says of Anthropic's routes."""

from __future__ import annotations

from typing import Final

from tailrace.dialects.anthropic.body import MessagesBody, PromptBody
from tailrace.web.openapi.building import (
    ERRORS,
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    ON_DISCONNECT,
    Schema,
    schema_of,
    streams_in,
)

_BETAS: Final = {
    "name": "anthropic-beta",
    "in": "header",
    "schema": {"type": "string"},
    "description": "Beta features, for Anthropic's own upstreams; others do without.",
}
_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_COUNT: Final = {"type": "integer", "minimum": 0}
_USAGE: Final = {
    "type": "object",
    "required": ["input_tokens", "output_tokens"],
    "properties": {
        "input_tokens": _COUNT,
        "cache_read_input_tokens": _COUNT,
        "output_tokens": _COUNT,
        "output_tokens_details": {"type": "object", "properties": {"thinking_tokens": _COUNT}},
    },
}
_MESSAGE: Final = {
    "type": "object",
    "required": ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"],
    "properties": {
        "id": _TEXT,
        "type": {"const": "message"},
        "role": {"const": "assistant"},
        "model": _TEXT,
        "content": {
            "type": "array",
            "items": {"type": "object", "required": ["type"], "properties": {"type": _TEXT}},
        },
        "stop_reason": _TEXT,
        "stop_sequence": _TEXT_OR_NULL,
        "usage": _USAGE,
    },
}
_TOKENS: Final = {
    "type": "object",
    "required": ["input_tokens"],
    "properties": {"input_tokens": _COUNT},
}
_ERROR: Final = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": _TEXT, "message": _TEXT},
        },
        "request_id": _TEXT,
    },
}

_MODEL: Final = {
    "type": "object",
    "required": ["type", "id", "display_name", "created_at", "lifecycle"],
    "properties": {
        "type": {"const": "model"},
        "id": _TEXT,
        "display_name": _TEXT,
        "created_at": {"type": "string", "format": "date-time"},
        "lifecycle": {"const": "active"},
    },
}
ANTHROPIC_MODELS: Final = {
    "type": "object",
    "required": ["data", "has_more", "first_id", "last_id"],
    "properties": {
        "data": {"type": "array", "items": _MODEL},
        "has_more": {"const": False},
        "first_id": _TEXT_OR_NULL,
        "last_id": _TEXT_OR_NULL,
    },
}
"""Anthropic's list of models."""


def making_messages() -> Schema:
    """Anthropic's messages."""
    return {
        "summary": "An answer as Anthropic's messages give it",
        "parameters": [LAST_EVENT_ID, ON_DISCONNECT, IDEMPOTENCY_KEY, _BETAS],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema_of(MessagesBody)}}},
        "responses": _responses({"application/json": {"schema": _MESSAGE}, **streams_in("anthropic")}, resumes=True),
    }


def counting_tokens() -> Schema:
    """Anthropic's count of tokens."""
    return {
        "summary": "How many tokens a prompt is, counted here",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema_of(PromptBody)}}},
        "responses": _responses({"application/json": {"schema": _TOKENS}}),
    }


def _responses(content: Schema, *, resumes: bool = False) -> Schema:
    refusals = {
        str(status): {"description": why, "content": {"application/json": {"schema": _ERROR}}}
        for status, why in ERRORS.items()
    }
    nothing_left = {"204": {"description": "The cursor is at the end, or its stream is gone."}} if resumes else {}
    return {"200": {"description": "The answer.", "content": content}, **nothing_left, **refusals}
