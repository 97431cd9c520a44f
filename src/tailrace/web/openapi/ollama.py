"""What `/openapi.json` says of Ollama's routes."""

from __future__ import annotations

from typing import Any, Final

from tailrace.dialects.ollama.body import ChatBody, GenerateBody, ShowBody
from tailrace.web.openapi.building import (
    ERRORS,
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    ON_DISCONNECT,
    Schema,
    schema_of,
    streams_in,
)

_COMMON: Final[Schema] = {
    "model": {"type": "string"},
    "created_at": {"type": "string", "format": "date-time"},
    "done": {"const": True},
    "done_reason": {"type": "string"},
}
_COUNTS: Final[Schema] = {
    name: {"type": "integer"}
    for name in (
        *("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration"),
        *("eval_count", "eval_duration"),
    )
}
_SAID: Final[Schema] = {"thinking": {"type": "string"}, "tool_calls": {"type": "array", "items": {"type": "object"}}}
_MESSAGE: Final[Schema] = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"const": "assistant"}, "content": {"type": "string"}, **_SAID},
}


def chatting() -> Schema:
    """Ollama's chat."""
    return _asking(
        "An answer as Ollama's chat gives it, in lines of JSON or one", ChatBody, "ollama", {"message": _MESSAGE}
    )


def generating() -> Schema:
    """Ollama's answer to one prompt."""
    answer = {"response": {"type": "string"}, **_SAID}
    return _asking("An answer to one prompt, as Ollama gives it", GenerateBody, "ollama_generate", answer)


def listing(summary: str) -> Schema:
    """Ollama's lists of models."""
    model = {
        "type": "object",
        "required": ["name", "model"],
        "properties": {"name": {"type": "string"}, "model": {"type": "string"}},
    }
    return _answering(summary, {"models": {"type": "array", "items": model}})


def showing() -> Schema:
    """What Ollama's clients want to know of a model."""
    described = {
        "details": {"type": "object"},
        "model_info": {"type": "object"},
        "capabilities": {"type": "array", "items": {"type": "string"}},
        "modified_at": {"type": "string", "format": "date-time"},
    }
    return {**_answering("What is known of a model", described), **_taking(ShowBody)}


def telling_version() -> Schema:
    """The version of Ollama's API."""
    return _answering("The version of Ollama whose API this is", {"version": {"type": "string"}})


def being_there() -> Schema:
    """A sign of life."""
    return {"summary": "Whether the server answers", "responses": {"200": {"description": "It does."}, **_refusals()}}


def _asking(summary: str, body: Any, name: str, answer: Schema) -> Schema:
    required = [*_COMMON, next(iter(answer))]
    properties = {**_COMMON, **_COUNTS, **answer, "logprobs": {"type": "array"}}
    whole = {"application/json": {"schema": {"type": "object", "required": required, "properties": properties}}}
    return {
        "summary": summary,
        "parameters": [LAST_EVENT_ID, ON_DISCONNECT, IDEMPOTENCY_KEY],
        **_taking(body),
        "responses": {"200": {"description": "The answer.", "content": {**whole, **streams_in(name)}}, **_refusals()},
    }


def _taking(body: Any) -> Schema:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema_of(body)}}}}


def _answering(summary: str, properties: Schema) -> Schema:
    schema = {"type": "object", "required": list(properties), "properties": properties}
    content = {"application/json": {"schema": schema}}
    return {"summary": summary, "responses": {"200": {"description": "The answer.", "content": content}, **_refusals()}}


def _refusals() -> Schema:
    """Ollama's error object."""
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    content = {"application/json": {"schema": error}}
    return {str(status): {"description": why, "content": content} for status, why in ERRORS.items()}
