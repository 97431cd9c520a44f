"""What `POST /v1/messages` does not take: wrong bodies are told where they are wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.anthropic.bodies import ASK, CALL, PNG, RESULT, SCHEMA, body, refused


@pytest.mark.parametrize(
    ("messages", "field", "message"),
    [
        ([{"content": "Hi"}], "messages.0.role", "Field required"),
        ([{"role": "tool", "content": "Hi"}], "messages.0.role", "Input should be 'user', 'assistant' or 'system'"),
        ([{"role": "user"}], "messages.0.content", "Field required"),
        ([{"role": "user", "content": 5}], "messages.0.content", "a string or an array of blocks"),
        ([{"role": "user", "content": ""}], "messages.0.content", "must not be empty"),
        ([{"role": "user", "content": []}], "messages.0.content", "must not be empty"),
        ([{"role": "user", "content": "Hi", "name": "n"}], "messages.0.name", "Extra inputs are not permitted"),
        ([{"role": "user", "content": ["Hi"]}], "messages.0.content.0", "an object with a type"),
        ([{"role": "user", "content": [{"text": "Hi"}]}], "messages.0.content.0", "an object with a type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages.0.content.0.text", "Field required"),
        ([{"role": "user", "content": [{"type": "image"}]}], "messages.0.content.0.source", "Field required"),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}],
            "messages.0.content.0.source",
            "send base64 or a url",
        ),
        (
            [{"role": "user", "content": [{"type": "image", "source": {**PNG, "media_type": "image/tiff"}}]}],
            "messages.0.content.0.source.media_type",
            "Input should be 'image/jpeg', 'image/png'",
        ),
        ([{"role": "user", "content": [CALL]}], "messages.0.content.0.type", "the role user takes no tool_use"),
        ([ASK, {"role": "assistant", "content": [RESULT]}], "messages.1.content.0.type", "takes no tool_result"),
        ([{"role": "user", "content": [RESULT]}], "messages.0.content.0.tool_use_id", "'toolu_1'"),
        (
            [ASK, {"role": "assistant", "content": [{**CALL, "input": "{}"}]}],
            "messages.1.content.0.input",
            "Input should be an object",
        ),
        (
            [ASK, {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}]}],
            "messages.1.content.0.signature",
            "Field required",
        ),
        ([ASK, {"role": "assistant", "content": []}, ASK], "messages.1.content", "must not be empty"),
    ],
)
def test_wrong_messages(messages: list[Any], field: str, message: str) -> None:
    """A turn that can't be is told with its place, as Anthropic writes places."""
    error = refused(body(*messages))
    assert error.field == field
    assert error.message.startswith(f"{field}: ")
    assert message in error.message


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"messages": []}, "messages", "must not be empty"),
        ({"messages": "Hi"}, "messages", "Input should be a valid array"),
        ({"max_tokens": None}, "max_tokens", "Input should be a valid integer"),
        ({"max_tokens": "5"}, "max_tokens", "Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens", "greater than or equal to 0"),
        ({"temperature": 1.5}, "temperature", "less than or equal to 1"),
        ({"system": 5}, "system", "a string or an array of text blocks"),
        ({"system": [{"type": "image", "source": PNG}]}, "system.0.type", "Input should be 'text'"),
        ({"tools": ["look"]}, "tools.0", "Input should be a tool"),
        ({"tools": [{"input_schema": SCHEMA}]}, "tools.0.name", "Field required"),
        ({"tools": [{"name": "look"}]}, "tools.0.input_schema", "Field required"),
        ({"tools": [{"name": "look", "input_schema": {}}]}, "tools.0.input_schema", 'needs "type": "object"'),
        ({"tool_choice": {"type": "required"}}, "tool_choice.type", "'auto', 'any', 'tool' or 'none'"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name", "Field required"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice", "no tool has the name x"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.budget_tokens", "equal to 1024"),
        ({"output_config": {"effort": "most"}}, "output_config.effort", "'low', 'medium', 'high', 'xhigh' or 'max'"),
        ({"output_config": {"format": {"type": "json_schema", "schema": []}}}, "output_config.format.schema", "object"),
        ({"service_tier": "flex"}, "service_tier", "'auto' or 'standard_only'"),
        ({"on_disconnect": "never"}, "on_disconnect", "cancel, continue or seconds"),
    ],
)
def test_wrong_fields(fields: dict[str, Any], field: str, message: str) -> None:
    """A field that can't be is told with its place and what would be right."""
    error = refused(body(**fields))
    assert error.field == field
    assert error.message.startswith(f"{field}: ")
    assert message in error.message


def test_max_tokens_is_asked_for() -> None:
    """As Anthropic has it, there is no default."""
    assert refused(b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}').message == "max_tokens: Field required"


def test_one_place_for_a_schema() -> None:
    """Two schemas would contradict each other."""
    wanted = {"type": "json_schema", "schema": SCHEMA}
    error = refused(body(output_config={"format": wanted}, output_format=wanted))
    assert "send one of them" in error.message


@pytest.mark.parametrize("sent", [b"", b"{", b"[]", b"5", b"null", b'{"a":', b"\xff"])
def test_no_object(sent: bytes) -> None:
    """What is no JSON object is told so."""
    assert "the body" in refused(sent).message


@given(sent=st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_body(sent: bytes | str) -> None:
    """No bytes raise anything but a refusal."""
    refused(sent.encode() if isinstance(sent, str) else sent)
