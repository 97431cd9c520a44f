"""What `/openapi.json` says of OpenAI's responses."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel

from tailrace.dialects.openai_responses import ResponseBody
from tailrace.web.openapi.building import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    ON_DISCONNECT,
    Schema,
    json_of,
    query_of,
    streams_in,
)
from tailrace.web.openapi.openai import openai_responses

_RESPONSE_ID: Final = {"name": "response_id", "in": "path", "required": True, "schema": {"type": "string"}}


class ResponseError(BaseModel):
    """Why a response failed."""

    code: str
    message: str


class IncompleteDetails(BaseModel):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]


class ResponseUsage(BaseModel):
    """The tokens of an answer."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseAnswer(BaseModel):
    """A response; beside its output it repeats what was asked for."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    model: str
    output: list[dict[str, Any]]
    usage: ResponseUsage | None
    background: bool
    conversation: dict[str, str] | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    service_tier: str | None
    store: bool
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int | None
    top_p: float | None
    truncation: str
    user: str | None


class DeletedResponse(BaseModel):
    """A response that is forgotten."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


class InputItems(BaseModel):
    """A page of what a response was asked."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str
    last_id: str
    has_more: bool


class _Reading(BaseModel):
    stream: bool | None = None
    starting_after: int | None = None


class _Listing(BaseModel):
    limit: int | None = None
    order: Literal["asc", "desc"] | None = None
    after: str | None = None


def creating() -> Schema:
    """A request for a response."""
    return {
        "summary": "An answer as OpenAI's Responses API gives it",
        "parameters": [LAST_EVENT_ID, ON_DISCONNECT, IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": json_of(ResponseBody)},
        "responses": openai_responses({**json_of(ResponseAnswer), **streams_in("openai_responses")}),
    }


def reading() -> Schema:
    """A stored response, or its events."""
    return {
        "summary": "A stored response; with ?stream=true its events, those above ?starting_after=",
        "parameters": [_RESPONSE_ID, LAST_EVENT_ID, *query_of(_Reading)],
        "responses": openai_responses({**json_of(ResponseAnswer), **streams_in("openai_responses")}),
    }


def cancelling() -> Schema:
    """The end of a running response."""
    return {
        "summary": "Stop a response; the same answer each time",
        "parameters": [_RESPONSE_ID],
        "responses": openai_responses(json_of(ResponseAnswer)),
    }


def deleting() -> Schema:
    """The end of a stored response."""
    return {
        "summary": "Forget a response; its usage stays",
        "parameters": [_RESPONSE_ID],
        "responses": openai_responses(json_of(DeletedResponse)),
    }


def listing_input() -> Schema:
    """The conversation before a response."""
    return {
        "summary": "The conversation that a response answers, as items",
        "parameters": [_RESPONSE_ID, *query_of(_Listing)],
        "responses": openai_responses(json_of(InputItems)),
    }
