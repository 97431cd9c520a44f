"""What `/openapi.json` says of our own routes: bodies, parameters, streams, states and errors."""

from __future__ import annotations

from typing import Final

from tailrace.dialects import DIALECTS
from tailrace.dialects.body import QUERY_FIELDS, ChatBody
from tailrace.dialects.messages import MessageBody
from tailrace.web.openapi.building import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    ON_DISCONNECT,
    Schema,
    json_of,
    responses_with,
    schema_of,
    streams_in,
)
from tailrace.web.schemas import SessionList, SessionMessages, StreamList, StreamState, WholeAnswer

_SESSION_ID: Final = {"name": "session_id", "in": "path", "required": True, "schema": {"type": "string"}}
_STREAM_ID: Final = {"name": "stream_id", "in": "path", "required": True, "schema": {"type": "string"}}

_LIMIT: Final = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 500}}
_CURSOR: Final = {"name": "cursor", "in": "query", "schema": {"type": "string"}}


def posting(summary: str, *formats: str, whole: bool = False, array: bool = False) -> Schema:
    """A POST that generates: `whole` where it may answer with one JSON, `array` where it takes bare messages too."""
    body = schema_of(ChatBody)
    content: Schema = {"schema": {"oneOf": [body, schema_of(list[MessageBody])]} if array else body}
    query = [_query_parameter(name) for name in QUERY_FIELDS if name != "message"] if array else []
    return {
        "summary": summary,
        "parameters": [LAST_EVENT_ID, ON_DISCONNECT, IDEMPOTENCY_KEY, *query],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": responses_with({**(json_of(WholeAnswer) if whole else {}), **streams_in(*formats)}, resumes=True),
    }


def listening(summary: str, *formats: str) -> Schema:
    """A GET that generates."""
    return {
        "summary": summary,
        "parameters": [LAST_EVENT_ID, *map(_query_parameter, QUERY_FIELDS)],
        "responses": responses_with(streams_in(*formats), resumes=True),
    }


def reading_stream() -> Schema:
    """One stream's state, or the stream itself."""
    after = {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0}}
    chosen = {"name": "format", "in": "query", "schema": {"type": "string", "enum": list(DIALECTS)}}
    return {
        "summary": "A stream's state; with Accept: text/event-stream the stream itself, from a cursor on",
        "parameters": [_STREAM_ID, LAST_EVENT_ID, after, chosen],
        "responses": responses_with({**json_of(StreamState), **streams_in(*DIALECTS)}, resumes=True),
    }


def listing_streams() -> Schema:
    """All of the caller's streams."""
    return {
        "summary": "The caller's streams, newest first",
        "parameters": [_LIMIT, _CURSOR],
        "responses": responses_with(json_of(StreamList)),
    }


def cancelling_stream() -> Schema:
    """The end of one stream."""
    return {
        "summary": "Stop a stream; the same answer each time",
        "parameters": [_STREAM_ID],
        "responses": responses_with(json_of(StreamState)),
    }


def listing_sessions() -> Schema:
    """The caller's conversations."""
    return {
        "summary": "The caller's conversations, the last used first",
        "parameters": [_LIMIT, _CURSOR],
        "responses": responses_with(json_of(SessionList)),
    }


def reading_session() -> Schema:
    """One conversation."""
    return {
        "summary": "A conversation's messages",
        "parameters": [_SESSION_ID],
        "responses": responses_with(json_of(SessionMessages)),
    }


def deleting_session() -> Schema:
    """The end of one conversation."""
    responses = {status: response for status, response in responses_with({}).items() if status != "200"}
    return {
        "summary": "Forget a conversation; its usage stays",
        "parameters": [_SESSION_ID],
        "responses": {"204": {"description": "Forgotten."}, **responses},
    }


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
