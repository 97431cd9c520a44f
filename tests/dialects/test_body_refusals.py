"""What our own routes refuse: what is wrong, where, and what would be right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.bodies import ASK, refused

from tailrace.dialects import Call
from tailrace.dialects.body import (
    parse_body,
)
from tailrace.errors import RequestError


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "line 1 column"),
        (b"message=Hi", "not JSON"),
        (b'{"message":"Hi"} more', "trailing"),
        (b'{"message":"\xff"}', "not JSON"),
        (b'{"message":"\\ud83d"}', "not JSON"),
        (b'{"metadata":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "recursion"),
    ],
)
def test_not_json(body: bytes, word: str) -> None:
    """What is not JSON is 400 and says at which place."""
    error = refused(parse_body, body)
    assert (error.status, error.code, error.field) == (400, "invalid_json", None)
    assert word in error.message


def message_of(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"}, {**fields}]}


def part_of(**fields: Any) -> dict[str, Any]:
    return message_of(role="user", content=[{**fields}])


FUNCTION = {"function": {"name": "f"}}

STRANGE_POLICIES: tuple[object, ...] = ("stop", "10", -1, 86401, True, float("nan"), [])

WRONG: list[tuple[object, str | None, str]] = [
    ([], None, "must be a JSON object"),
    ("Hi", None, "must be a JSON object"),
    (None, None, "must be a JSON object"),
    ({}, None, "either message or messages"),
    ({"model": "m"}, None, "either message or messages"),
    ({**ASK, "messages": [{"role": "user", "content": "Hi"}]}, None, "not both"),
    ({**ASK, "system": "a", "system_prompt": "b"}, None, "system and system_prompt are the same"),
    ({"message": ""}, "message", "at least 1"),
    ({"message": 5}, "message", "string"),
    ({"message": ["Hi"]}, "message", "string"),
    ({"messages": []}, "messages", "at least 1"),
    ({"messages": {}}, "messages", "array"),
    ({"messages": "Hi"}, "messages", "array"),
    ({"messages": ["Hi"]}, "messages.0", "JSON object"),
    (message_of(content="Hi"), "messages.1.role", "required"),
    (message_of(role="robot", content="Hi"), "messages.1.role", "'assistant' or 'tool'"),
    (message_of(role="user"), "messages.1", "needs content"),
    (message_of(role="user", content=5), "messages.1.content", "a string or an array of parts"),
    (message_of(role="user", content={"text": "Hi"}), "messages.1.content", "a string or an array of parts"),
    (message_of(role="user", content=[]), "messages.1.content", "at least 1"),
    (message_of(role="user", content=["Hi"]), "messages.1.content.0", "type is text or image_url"),
    (part_of(text="Hi"), "messages.1.content.0", "type is text or image_url"),
    (part_of(type="video"), "messages.1.content.0", "type is text or image_url"),
    (part_of(type=["text"]), "messages.1.content.0", "type is text or image_url"),
    (part_of(type="text"), "messages.1.content.0.text", "required"),
    (part_of(type="text", text=5), "messages.1.content.0.text", "string"),
    (part_of(type="image_url", image_url="a.png"), "messages.1.content.0.image_url", "JSON object"),
    (part_of(type="image_url", image_url={"url": ""}), "messages.1.content.0.image_url.url", "at least 1"),
    (
        part_of(type="image_url", image_url={"url": "data:image/svg+xml,%3Csvg/%3E"}),
        "messages.1.content.0.image_url.url",
        "a media type and base64",
    ),
    (
        part_of(type="image_url", image_url={"url": "x", "detail": "fine"}),
        "messages.1.content.0.image_url.detail",
        "'low' or 'high'",
    ),
    (message_of(role="tool", content="42"), "messages.1", "needs the tool_call_id"),
    (message_of(role="tool", tool_call_id="c"), "messages.1", "needs content"),
    (
        message_of(role="tool", content="x", tool_call_id="c"),
        "messages.1.tool_call_id",
        "no assistant message before it has a tool call with the id 'c'",
    ),
    (message_of(role="user", content="Hi", tool_call_id="c"), "messages.1", "belongs to a tool message"),
    (
        message_of(role="user", content="Hi", tool_calls=[{"id": "c", **FUNCTION}]),
        "messages.1",
        "belong to an assistant message",
    ),
    (message_of(role="assistant", tool_calls=[]), "messages.1", "needs content"),
    (message_of(role="assistant", tool_calls=[FUNCTION]), "messages.1.tool_calls.0.id", "required"),
    (
        message_of(role="assistant", tool_calls=[{"id": "c", "function": {"name": "f", "arguments": {}}}]),
        "messages.1.tool_calls.0.function.arguments",
        "string",
    ),
    ({**ASK, "model": ""}, "model", "at least 1"),
    ({**ASK, "model": 5}, "model", "string"),
    ({**ASK, "stream": "yes"}, "stream", "boolean"),
    ({**ASK, "stream": 1}, "stream", "boolean"),
    ({**ASK, "max_tokens": -1}, "max_tokens", "greater than or equal to 1"),
    ({**ASK, "max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
    ({**ASK, "max_tokens": "5"}, "max_tokens", "integer"),
    ({**ASK, "max_tokens": True}, "max_tokens", "integer"),
    ({**ASK, "max_tokens": 1.5}, "max_tokens", "integer"),
    ({**ASK, "temperature": 3}, "temperature", "less than or equal to 2"),
    ({**ASK, "temperature": "1"}, "temperature", "number"),
    ({**ASK, "temperature": float("nan")}, "temperature", "less than or equal to 2"),
    ({**ASK, "top_p": -0.1}, "top_p", "greater than or equal to 0"),
    ({**ASK, "stop": 5}, "stop", "array"),
    ({**ASK, "stop": ["a", 5]}, "stop.1", "string"),
    ({**ASK, "stop": ["a"] * 17}, "stop", "at most 16"),
    ({**ASK, "seed": 1.5}, "seed", "integer"),
    ({**ASK, "tools": {}}, "tools", "array"),
    ({**ASK, "tools": [{"type": "search"}]}, "tools.0.type", "'function'"),
    ({**ASK, "tools": [{"function": {}}]}, "tools.0.function.name", "required"),
    ({**ASK, "tools": [{"function": {"name": "f", "parameters": "{}"}}]}, "tools.0.function.parameters", "object"),
    ({**ASK, "tool_choice": "f"}, "tool_choice", "auto, none, required or {"),
    ({**ASK, "tool_choice": {"function": {}}}, "tool_choice", "auto, none, required or {"),
    ({**ASK, "response_format": "json"}, "response_format", "JSON object"),
    ({**ASK, "response_format": {"type": "xml"}}, "response_format.type", "'json_object' or 'json_schema'"),
    ({**ASK, "response_format": {"type": "json_schema"}}, "response_format", "needs it"),
    ({**ASK, "response_format": {"type": "text", "json_schema": {"schema": {}}}}, "response_format", "goes with"),
    (
        {**ASK, "response_format": {"type": "json_schema", "json_schema": {}}},
        "response_format.json_schema.schema",
        "required",
    ),
    (
        {**ASK, "response_format": {"type": "json_schema", "json_schema": {"schema": {}, "name": 5}}},
        "response_format.json_schema.name",
        "string",
    ),
    ({**ASK, "metadata": "x"}, "metadata", "object"),
    ({**ASK, "session_id": "s" * 201}, "session_id", "at most 200"),
    *(
        ({**ASK, "on_disconnect": said}, "on_disconnect", "cancel, continue or seconds of grace")
        for said in STRANGE_POLICIES
    ),
]


@pytest.mark.parametrize(("body", "field", "words"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_body(body: object, field: str | None, words: str) -> None:
    """Each wrong body is 422, names the field, and says what would be right. No type is guessed from another."""
    error = refused(parse_body, json.dumps(body).encode())
    assert (error.status, error.code, error.field) == (422, "invalid_field", field)
    assert words in error.message
    assert error.message.startswith(field or "")


@pytest.mark.parametrize(
    ("body", "field", "nearest"),
    [
        ({**ASK, "max_token": 5}, "max_token", "max_tokens"),
        ({**ASK, "Model": "m"}, "Model", "model"),
        ({**ASK, "sytem": "s"}, "sytem", "system"),
        ({**ASK, "n": 2}, "n", None),
        (message_of(role="user", contnet="Hi"), "messages.1.contnet", "content"),
        (message_of(role="tool", content="x", toolcall_id="c"), "messages.1.toolcall_id", "tool_call_id"),
        (part_of(type="text", text="Hi", txt="Hi"), "messages.1.content.0.txt", "text"),
        (
            part_of(type="image_url", image_url={"url": "x", "detial": "low"}),
            "messages.1.content.0.image_url.detial",
            "detail",
        ),
        (
            {**ASK, "tools": [{"function": {"name": "f", "paramters": {}}}]},
            "tools.0.function.paramters",
            "parameters",
        ),
        (
            {**ASK, "response_format": {"type": "json_schema", "json_schema": {"schema": {}, "shema": {}}}},
            "response_format.json_schema.shema",
            "schema",
        ),
    ],
    ids=str,
)
def test_unknown_field(body: object, field: str | None, nearest: str | None) -> None:
    """A field that does not exist is refused, wherever it stands, with the nearest that exists in that place."""
    error = refused(parse_body, json.dumps(body).encode())
    assert (error.status, error.code, error.field) == (422, "unknown_field", field)
    hint = error.message.partition("; did you mean ")[2].removesuffix("?")
    assert hint == (nearest or "")


def test_a_huge_name_is_cut() -> None:
    """A field's name of a megabyte does not come back in the error."""
    error = refused(parse_body, json.dumps({**ASK, "x" * 1_000_000: 1}).encode())
    assert len(error.message) < 200
    assert len(error.field or "") <= 200


@given(body=st.binary(max_size=40) | st.from_regex(rb'\{"(message|messages|stop|tools)":[\[\]{}",:0-9a-z]{0,20}\}?'))
def test_any_bytes(body: bytes) -> None:
    """Whatever is sent, it becomes a call or a named error."""
    try:
        assert isinstance(parse_body(body), Call)
    except RequestError as error:
        assert error.status in {400, 422}  # noqa: PT017 - either end is right
