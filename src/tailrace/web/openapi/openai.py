"""What `/openapi.json` says of OpenAI's routes."""

from __future__ import annotations

from tailrace.dialects.openai_chat.body import CompletionBody
from tailrace.web.openapi.anthropic import ANTHROPIC_MODELS
from tailrace.web.openapi.building import (
    ERRORS,
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    ON_DISCONNECT,
    Schema,
    schema_of,
    streams_in,
)


def completing(summary: str) -> Schema:
    """OpenAI's chat completions."""
    content = {"application/json": {"schema": {"type": "object"}}, **streams_in("openai_chat")}
    return {
        "summary": summary,
        "parameters": [LAST_EVENT_ID, ON_DISCONNECT, IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema_of(CompletionBody)}}},
        "responses": openai_responses(content),
    }


def listing_models() -> Schema:
    """OpenAI's list of models; a request with the header `anthropic-version` gets Anthropic's."""
    model = {
        "type": "object",
        "required": ["id", "object", "created", "owned_by"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
        },
    }
    models = {
        "type": "object",
        "required": ["object", "data"],
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": model}},
    }
    return {
        "summary": "The models that this caller may use",
        "responses": openai_responses({"application/json": {"schema": {"anyOf": [models, ANTHROPIC_MODELS]}}}),
    }


def openai_responses(content: Schema) -> Schema:
    """As `responses_with`, with OpenAI's error object in place of problem JSON."""
    error = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    }
    refusals = {
        str(status): {"description": why, "content": {"application/json": {"schema": error}}}
        for status, why in ERRORS.items()
    }
    return {"200": {"description": "The answer.", "content": content}, **refusals}
