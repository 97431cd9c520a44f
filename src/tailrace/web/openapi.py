"""What `/openapi.json` says of our own routes: bodies, parameters, streams, states and errors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, TypeAdapter

from tailrace.dialects import DIALECTS
from tailrace.dialects.body import QUERY_FIELDS, ChatBody
from tailrace.dialects.messages import MessageBody
from tailrace.dialects.openai_chat.body import CompletionBody
from tailrace.web.schemas import Problem, SessionList, SessionMessages, StreamList, StreamState, WholeAnswer

Schema: TypeAlias = dict[str, Any]

_CHUNK: Final = (
    '{"id":"chatcmpl-0","object":"chat.completion.chunk","created":1700000000,"model":"simulated",'
    '"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]'
)
_FRAMES: Final = {
    "delta": 'event: message\ndata: {"delta":"Hi","tokens":1,"model":"simulated","chunk_index":1,"done":false}',
    "token": 'event: token\ndata: {"token":"Hi","done":false}',
    "raw": "event: token\ndata: Hi",
    "meta": 'data: {"event":"token","token":"Hi"}',
    "openai_chat": f"data: {_CHUNK}}}",
    "openai_chat_usage": f'data: {_CHUNK},"usage":null}}',
}

_ERRORS: Final = {
    400: "Not JSON, an unknown backend or format, a cursor that is none, a key in the query string.",
    401: "No valid key.",
    403: "Not from here: the host, the origin or a proxy is refused; or not for this key.",
    404: "No such model, stream or key.",
    409: "The key is revoked for good.",
    413: "The body is too large, for us or for the upstream.",
    415: "The body is not application/json.",
    422: "A field is wrong; `field` names it.",
    429: "The upstream takes no more for now, or too many wrong keys came from here; see Retry-After.",
    500: "An error inside the server.",
    502: "The upstream failed before its first token.",
    503: "The provider is off, the database does not answer, or the server is stopping.",
    504: "The upstream was silent for too long.",
}

_LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The id of the last frame received: the stream is resumed after it, and nothing is generated.",
}

_ON_DISCONNECT: Final = {
    "name": "X-Tailrace-On-Disconnect",
    "in": "header",
    "schema": {"type": "string"},
    "description": "`cancel`, `continue` or seconds of grace, for when the last reader leaves.",
}

_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Requests with the same key and body share one generation, for 24 hours.",
}

_SESSION_ID: Final = {"name": "session_id", "in": "path", "required": True, "schema": {"type": "string"}}
_STREAM_ID: Final = {"name": "stream_id", "in": "path", "required": True, "schema": {"type": "string"}}


def posting(summary: str, *formats: str, whole: bool = False, array: bool = False) -> Schema:
    """A POST that generates: `whole` where it may answer with one JSON, `array` where it takes bare messages too."""
    body = schema_of(ChatBody)
    content: Schema = {"schema": {"oneOf": [body, schema_of(list[MessageBody])]} if array else body}
    query = [_query_parameter(name) for name in QUERY_FIELDS if name != "message"] if array else []
    return {
        "summary": summary,
        "parameters": [_LAST_EVENT_ID, _ON_DISCONNECT, _IDEMPOTENCY_KEY, *query],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": _responses({**(_json(WholeAnswer) if whole else {}), **_streams(*formats)}, resumes=True),
    }


def completing(summary: str) -> Schema:
    """OpenAI's chat completions."""
    return {
        "summary": summary,
        "parameters": [_LAST_EVENT_ID, _ON_DISCONNECT, _IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema_of(CompletionBody)}}},
        "responses": _openai_responses({"application/json": {"schema": {"type": "object"}}, **_streams("openai_chat")}),
    }


def listing_models() -> Schema:
    """OpenAI's list of models."""
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
        "responses": _openai_responses({"application/json": {"schema": models}}),
    }


def listening(summary: str, *formats: str) -> Schema:
    """A GET that generates."""
    return {
        "summary": summary,
        "parameters": [_LAST_EVENT_ID, *map(_query_parameter, QUERY_FIELDS)],
        "responses": _responses(_streams(*formats), resumes=True),
    }


def reading_stream() -> Schema:
    """One stream's state, or the stream itself."""
    after = {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0}}
    chosen = {"name": "format", "in": "query", "schema": {"type": "string", "enum": list(DIALECTS)}}
    return {
        "summary": "A stream's state; with Accept: text/event-stream the stream itself, from a cursor on",
        "parameters": [_STREAM_ID, _LAST_EVENT_ID, after, chosen],
        "responses": _responses({**_json(StreamState), **_streams(*DIALECTS)}, resumes=True),
    }


def listing_streams() -> Schema:
    """All of the caller's streams."""
    return {"summary": "The caller's streams", "responses": _responses(_json(StreamList))}


def cancelling_stream() -> Schema:
    """The end of one stream."""
    return {
        "summary": "Stop a stream; the same answer each time",
        "parameters": [_STREAM_ID],
        "responses": _responses(_json(StreamState)),
    }


def answering(
    summary: str,
    answer: type[BaseModel],
    *,
    status: int = 200,
    body: type[BaseModel] | None = None,
    parameters: Sequence[Schema] = (),
    csv: bool = False,
) -> Schema:
    """An operation that answers with one JSON, or with `csv` where that is asked for."""
    content = {**_json(answer), **({"text/csv": {"schema": {"type": "string"}}} if csv else {})}
    sent = {} if body is None else {"requestBody": {"required": True, "content": _json(body)}}
    return {
        "summary": summary,
        "parameters": list(parameters),
        **sent,
        "responses": _responses(content, status=status),
    }


def query_of(model: type[BaseModel]) -> list[Schema]:
    """A model's fields as the parameters of a query."""
    properties: Schema = schema_of(model)["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {key: value for key, value in schema.items() if key not in ("title", "description")},
            **({"description": schema["description"]} if "description" in schema else {}),
        }
        for name, schema in properties.items()
    ]


def listing_sessions() -> Schema:
    """The caller's conversations."""
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 500}}
    cursor = {"name": "cursor", "in": "query", "schema": {"type": "string"}}
    return {
        "summary": "The caller's conversations, the last used first",
        "parameters": [limit, cursor],
        "responses": _responses(_json(SessionList)),
    }


def reading_session() -> Schema:
    """One conversation."""
    return {
        "summary": "A conversation's messages",
        "parameters": [_SESSION_ID],
        "responses": _responses(_json(SessionMessages)),
    }


def deleting_session() -> Schema:
    """The end of one conversation."""
    responses = {status: response for status, response in _responses({}).items() if status != "200"}
    return {
        "summary": "Forget a conversation; its usage stays",
        "parameters": [_SESSION_ID],
        "responses": {"204": {"description": "Forgotten."}, **responses},
    }


@functools.cache
def schema_of(model: Any) -> Schema:
    """A type's JSON Schema in one piece: our routes may stand in an application with components of its own."""
    schema = TypeAdapter(model).json_schema()
    definitions = schema.pop("$defs", {})
    inlined: Schema = _inline(schema, definitions)
    return inlined


def _inline(value: Any, definitions: Schema) -> Any:
    match value:
        case {"$ref": str(reference), **rest}:
            return _inline({**definitions[reference.rpartition("/")[2]], **rest}, definitions)
        case {"discriminator": dict(), **rest}:
            return _inline(rest, definitions)
        case dict():
            return {name: _inline(item, definitions) for name, item in value.items()}
        case list():
            return [_inline(item, definitions) for item in value]
        case _:
            return value


def _query_parameter(name: str) -> Schema:
    properties = _CHAT_PROPERTIES[name]
    schema = {key: value for key, value in properties.items() if key not in ("title", "default", "description")}
    return {
        "name": name,
        "in": "query",
        "required": name == "message",
        "schema": schema,
        **({"description": properties["description"]} if "description" in properties else {}),
    }


_CHAT_PROPERTIES: Final = schema_of(ChatBody)["properties"]


def _streams(*formats: str) -> Schema:
    """A stream in any of these formats."""
    examples = {name: {"value": f"id: gen_0.2\n{_FRAMES[name]}\n\n"} for name in formats}
    schema = {"type": "string", "description": f"Server-Sent Events in the format {' or '.join(formats)}."}
    return {"text/event-stream": {"schema": schema, "examples": examples}}


def _json(model: type[BaseModel]) -> Schema:
    return {"application/json": {"schema": schema_of(model)}}


def _openai_responses(content: Schema) -> Schema:
    """As `_responses`, with OpenAI's error object in place of problem JSON."""
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
        for status, why in _ERRORS.items()
    }
    return {"200": {"description": "The answer.", "content": content}, **refusals}


def _responses(content: Schema, *, resumes: bool = False, status: int = 200) -> Schema:
    problem = {"application/problem+json": {"schema": schema_of(Problem)}}
    errors = {str(status): {"description": why, "content": problem} for status, why in _ERRORS.items()}
    nothing_left = {"204": {"description": "The cursor is at the end, or its stream is gone."}} if resumes else {}
    return {str(status): {"description": "The answer.", "content": content}, **nothing_left, **errors}
