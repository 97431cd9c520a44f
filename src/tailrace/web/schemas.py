"""What our own routes answer in JSON, as `/openapi.json` shows it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Problem(BaseModel):
    """An error, as RFC 9457 problem JSON. `text` is the part of the answer that came before it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    field: str | None = None
    text: str | None = None


class Usage(BaseModel):
    """How many tokens went in and came out, and how sure that is; what is not known is left out."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None
    source: str


class MadeToolCall(BaseModel):
    """A tool call; `arguments` is JSON text."""

    index: int
    id: str
    name: str
    arguments: str


class WholeAnswer(BaseModel):
    """The whole answer."""

    id: str
    model: str
    created_at: float | None
    text: str
    reasoning: str | None = None
    tool_calls: list[MadeToolCall] | None = None
    finish_reason: str | None
    usage: Usage


class StreamFailure(BaseModel):
    """Why a stream failed."""

    code: str
    message: str


class StreamState(BaseModel):
    """Where a stream stands; `usage` is null while it runs."""

    id: str
    status: str
    model: str | None
    format: str
    created_at: float
    entries: int
    text: str | None = None
    finish_reason: str | None = None
    error: StreamFailure | None = None
    usage: Usage | None


class SessionFace(BaseModel):
    """A conversation's face."""

    id: str
    title: str
    created_at: float
    updated_at: float


class SessionList(BaseModel):
    """Some of the caller's conversations, and the cursor for those that follow."""

    data: list[SessionFace]
    next_cursor: str | None


class SessionMessage(BaseModel):
    """One message; `content` is text, or its parts where there is more than text. `status`: whole or partial."""

    id: str
    role: str
    content: str | list[dict[str, Any]]
    created_at: float
    status: str
    generation_id: str | None = None


class SessionMessages(BaseModel):
    """A conversation in order."""

    id: str
    messages: list[SessionMessage]


class StreamList(BaseModel):
    """Some of the caller's streams, newest first, and the cursor for those that follow."""

    data: list[StreamState]
    next_cursor: str | None
