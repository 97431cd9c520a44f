"""What our own routes take: a right body becomes the right request, a wrong one is told what is wrong, and where."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.bodies import asked, parsed, refused, told

from tailrace.dialects import Call
from tailrace.dialects.body import (
    QUERY_FIELDS,
    ChatBody,
    parse_body,
    parse_messages,
    parse_query,
    read_on_disconnect,
    refuse_keys,
)
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    user_message,
)


def test_one_message() -> None:
    """The least that can be asked: one message, and nothing else is said."""
    assert parsed(message="Hi") == Call(request=ChatRequest(model="", messages=(user_message("Hi"),)))


def test_every_option() -> None:
    """Each field of the body has its place in the call."""
    schema = {"type": "object"}
    call = parsed(
        message="Hi",
        model="m",
        backend="openai",
        session_id="s",
        stream=True,
        on_disconnect=2.5,
        max_tokens=5,
        temperature=1,
        top_p=0.5,
        stop=["a", "b"],
        seed=-7,
        tools=[
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": True}}
        ],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_effort="low",
        user="u",
        metadata={"k": [1]},
    )
    request = ChatRequest(
        model="m",
        messages=(user_message("Hi"),),
        max_tokens=5,
        temperature=1.0,
        top_p=0.5,
        stop=("a", "b"),
        seed=-7,
        tools=(Tool(name="f", description="d", parameters=schema, strict=True),),
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_effort="low",
        user="u",
        metadata={"k": [1]},
    )
    assert call == Call(request=request, backend="openai", stream=True, session_id="s", on_disconnect=2.5)


@pytest.mark.parametrize("field", ["system", "system_prompt"])
def test_system_comes_first(field: str) -> None:
    """The system prompt, under either name, opens the conversation."""
    assert told({"role": "user", "content": "Hi"}, **{field: "Be brief."}) == (
        Message(role="system", parts=(Text(text="Be brief."),)),
        user_message("Hi"),
    )


def test_roles() -> None:
    """Each role has its own, and a developer's word is the system's."""
    turns = told(
        {"role": "developer", "content": "d"},
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u", "name": "Ann"},
        {"role": "assistant", "content": "a"},
    )
    assert [(turn.role, turn.text, turn.name) for turn in turns] == [
        ("system", "d", None),
        ("system", "s", None),
        ("user", "u", "Ann"),
        ("assistant", "a", None),
    ]


def test_images() -> None:
    """A base64 `data:` URL is taken apart; any other address is handed on as it is, never fetched."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAA=", "detail": "low"}}
    plain = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    (turn,) = told({"role": "user", "content": [{"type": "text", "text": "See"}, image, plain]})
    assert turn.parts == (
        Text(text="See"),
        Image(data="AAA=", media_type="image/png", detail="low"),
        Image(url="https://example.org/a.png"),
    )


def test_tool_calls_and_results() -> None:
    """A call without text, and what the tool answered to it, as text or in parts."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    bare = {"id": "c2", "function": {"name": "g"}}
    turns = told(
        {"role": "assistant", "content": None, "tool_calls": [call, bare]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "43"}]},
    )
    assert [turn.parts for turn in turns] == [
        (ToolCall(id="c1", name="f", arguments='{"a":1}'), ToolCall(id="c2", name="g", arguments="{}")),
        (ToolResult(id="c1", content=(Text(text="42"),)),),
        (ToolResult(id="c2", content=(Text(text="43"),)),),
    ]


def test_text_before_tool_calls() -> None:
    """An assistant may speak and call in one turn."""
    call = {"id": "c1", "function": {"name": "f"}}
    (turn,) = told({"role": "assistant", "content": "Let me look.", "tool_calls": [call]})
    assert turn.parts == (Text(text="Let me look."), ToolCall(id="c1", name="f", arguments="{}"))


@pytest.mark.parametrize(("stop", "taken"), [("a", ("a",)), (["a"], ("a",)), (["a", "b"], ("a", "b")), ([], ())])
def test_stop(stop: object, taken: tuple[str, ...]) -> None:
    """One stop sequence or several."""
    assert asked(stop=stop).stop == taken


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "f"}}, ("tool", "f")),
        ({"function": {"name": "f"}}, ("tool", "f")),
        (None, None),
    ],
)
def test_tool_choice(choice: object, taken: object) -> None:
    """One of the three words, or a tool by its name."""
    assert asked(tool_choice=choice).tool_choice == taken


@pytest.mark.parametrize(
    ("given_format", "taken"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, ResponseFormat()),
        ({"type": "json_schema", "json_schema": {"schema": {}}}, ResponseFormat(schema={})),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
            ResponseFormat(name="n", schema={"type": "object"}, strict=True),
        ),
    ],
)
def test_response_format(given_format: object, taken: ResponseFormat | None) -> None:
    """Text, any JSON object, or JSON that obeys a schema."""
    assert asked(response_format=given_format).response_format == taken


@pytest.mark.parametrize(("said", "taken"), [("cancel", "cancel"), ("continue", "continue"), (0, 0.0), (10, 10.0)])
def test_on_disconnect(said: object, taken: object) -> None:
    """A policy, or seconds of grace."""
    assert parsed(message="Hi", on_disconnect=said).on_disconnect == taken


@given(text=st.text(min_size=1))
def test_any_text_comes_through(text: str) -> None:
    """A message is taken as it is, to the last blank."""
    assert asked_text(json.dumps({"message": text})) == text
    assert asked_text(json.dumps({"message": text}, ensure_ascii=False)) == text


def asked_text(body: str) -> str:
    return parse_body(body.encode()).request.last_user_text()


def test_array_of_messages() -> None:
    """A bare array is the conversation, with all the rest in the query."""
    body = b'[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"text","text":"Yes?"}]}]'
    call = parse_messages(body, {"model": "m", "backend": "openai", "max_tokens": "5"})
    assert [turn.text for turn in call.request.messages] == ["Hi", "Yes?"]
    assert (call.request.model, call.backend, call.request.max_tokens) == ("m", "openai", 5)


@pytest.mark.parametrize(
    ("body", "query", "status", "code", "field"),
    [
        (b"[", {}, 400, "invalid_json", None),
        (b"[]", {}, 422, "invalid_field", "messages"),
        (b"[5]", {}, 422, "invalid_field", "0"),
        (b'[{"role":"user","contnet":"Hi"}]', {}, 422, "unknown_field", "0.contnet"),
        (b'[{"role":"usr","content":"Hi"}]', {}, 422, "invalid_field", "0.role"),
        (b'[{"role":"user","content":"Hi"}]', {"message": "Hi"}, 422, "unknown_field", "message"),
        (b'[{"role":"user","content":"Hi"}]', {"max_tokens": "-1"}, 422, "invalid_field", "max_tokens"),
    ],
)
def test_wrong_array(body: bytes, query: dict[str, str], status: int, code: str, field: str | None) -> None:
    """A wrong array, or a wrong query beside it, is refused with its place."""
    error = refused(parse_messages, body, query)
    assert (error.status, error.code, error.field) == (status, code, field)


def test_query() -> None:
    """A query says the same as a body, its numbers as text; what other parts of the server read is let through."""
    call = parse_query(
        {
            "message": "Hi",
            "model": "m",
            "system": "s",
            "max_tokens": "5",
            "temperature": "0.5",
            "stop": "a",
            "on_disconnect": "10",
            "token": "t",
            "idempotency_key": "i",
        }
    )
    request = call.request
    assert [turn.text for turn in request.messages] == ["s", "Hi"]
    assert (request.max_tokens, request.temperature, request.stop) == (5, 0.5, ("a",))
    assert call.on_disconnect == 10.0
    assert parse_query({"message": "Hi", "on_disconnect": "continue"}).on_disconnect == "continue"


@pytest.mark.parametrize(
    ("query", "code", "field", "words"),
    [
        ({}, "invalid_field", None, "either message or messages"),
        ({"message": ""}, "invalid_field", "message", "at least 1"),
        ({"message": "Hi", "max_tokens": "many"}, "invalid_field", "max_tokens", "integer"),
        ({"message": "Hi", "max_tokens": "-1"}, "invalid_field", "max_tokens", "greater than or equal to 1"),
        ({"message": "Hi", "temperature": "nan"}, "invalid_field", "temperature", "less than or equal to 2"),
        ({"message": "Hi", "on_disconnect": "later"}, "invalid_field", "on_disconnect", "seconds of grace"),
        ({"message": "Hi", "modle": "m"}, "unknown_field", "modle", "did you mean model?"),
        ({"message": "Hi", "tools": "[]"}, "unknown_field", "tools", "unknown field"),
    ],
)
def test_wrong_query(query: dict[str, str], code: str, field: str | None, words: str) -> None:
    """Each wrong query is 422 with the parameter; one that does not exist with the nearest that does."""
    error = refused(parse_query, query)
    assert (error.status, error.code, error.field) == (422, code, field)
    assert words in error.message


def test_query_fields_are_body_fields() -> None:
    """Nothing can be said in a query that a body could not say."""
    assert set(QUERY_FIELDS) <= set(ChatBody.model_fields)


@pytest.mark.parametrize("name", ["key", "api_key", "API_KEY", "apikey", "X-API-Key", "access_token", "Authorization"])
def test_key_in_the_query(name: str) -> None:
    """A key in a query string is refused, and never repeated."""
    error = refused(refuse_keys, {"message": "Hi", name: "tr_secret"})
    assert (error.status, error.code, error.field) == (400, "key_in_query", name)
    assert "X-API-Key or Authorization" in error.message
    assert "tr_secret" not in error.message


def test_no_key_in_the_query() -> None:
    """A browser's short-lived token is no key."""
    refuse_keys({"message": "Hi", "token": "t"})


@pytest.mark.parametrize(
    ("said", "taken"), [("cancel", "cancel"), ("continue", "continue"), ("10", 10.0), ("0.5", 0.5)]
)
def test_header_on_disconnect(said: str, taken: object) -> None:
    """The header says it as the field does."""
    assert read_on_disconnect(said, field="X-Tailrace-On-Disconnect") == taken


@pytest.mark.parametrize("said", ["", "Cancel", "-1", "nan", "inf", "1e9", "10 s"])
def test_wrong_header_on_disconnect(said: str) -> None:
    """A wrong header is refused under its own name."""
    error = refused(read_on_disconnect, said, field="X-Tailrace-On-Disconnect")
    assert (error.status, error.code, error.field) == (422, "invalid_field", "X-Tailrace-On-Disconnect")
    assert "cancel, continue or seconds of grace" in error.message
