"""What the descriptions of all surfaces are built from: schemas, parameters, streams and errors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, TypeAdapter

from tailrace.web.openapi.frames import FRAMES, LINES
from tailrace.web.schemas import Problem

Schema: TypeAlias = dict[str, Any]

ERRORS: Final = {
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

LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The id of the last frame received: the stream is resumed after it, and nothing is generated.",
}

ON_DISCONNECT: Final = {
    "name": "X-Tailrace-On-Disconnect",
    "in": "header",
    "schema": {"type": "string"},
    "description": "`cancel`, `continue` or seconds of grace, for when the last reader leaves.",
}

IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Requests with the same key and body share one generation, for 24 hours.",
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
    content = {**json_of(answer), **({"text/csv": {"schema": {"type": "string"}}} if csv else {})}
    sent = {} if body is None else {"requestBody": {"required": True, "content": json_of(body)}}
    return {
        "summary": summary,
        "parameters": list(parameters),
        **sent,
        "responses": responses_with(content, status=status),
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


def streams_in(*formats: str) -> Schema:
    """A stream in any of these formats."""
    frames = {name: f"id: gen_0.2\n{FRAMES[name]}\n\n" for name in formats if name in FRAMES}
    lines = {name: f"{LINES[name]}\n" for name in formats if name in LINES}
    events = {"text/event-stream": _stream("Server-Sent Events", frames)} if frames else {}
    return {**events, **({"application/x-ndjson": _stream("Lines of JSON", lines)} if lines else {})}


def _stream(what: str, examples: dict[str, str]) -> Schema:
    description = f"{what} in the format {' or '.join(examples)}."
    return {
        "schema": {"type": "string", "description": description},
        "examples": {name: {"value": example} for name, example in examples.items()},
    }


def json_of(model: type[BaseModel]) -> Schema:
    return {"application/json": {"schema": schema_of(model)}}


def responses_with(content: Schema, *, resumes: bool = False, status: int = 200) -> Schema:
    problem = {"application/problem+json": {"schema": schema_of(Problem)}}
    errors = {str(status): {"description": why, "content": problem} for status, why in ERRORS.items()}
    nothing_left = {"204": {"description": "The cursor is at the end, or its stream is gone."}} if resumes else {}
    return {str(status): {"description": "The answer.", "content": content}, **nothing_left, **errors}
