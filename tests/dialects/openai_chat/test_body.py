"""What `POST /v1/chat/completions` takes: right bodies become requests, wrong ones are told where they are wrong."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from tests.dialects.answers import WHOLE
from tests.dialects.reading import STREAM_ID

from tailrace.dialects import OPENAI_CHAT, Call
from tailrace.dialects.openai_chat.body import CompletionBody
from tailrace.errors import RequestError
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    user_message,
)

ASK = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"it"}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "Seen."}
PNG = "data:image/png;base64,iVBORw0KGgo="


def parsed(*messages: Any, **fields: Any) -> Call:
    return OPENAI_CHAT.parse(json.dumps({"model": "m", "messages": messages or [ASK], **fields}).encode())


def asked(**fields: Any) -> ChatRequest:
    """The request that a body with a message and these fields makes."""
    return parsed(**fields).request


def told(*messages: Any) -> tuple[Message, ...]:
    """The conversation that a body with these messages makes."""
    return parsed(*messages).request.messages


def refused(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        OPENAI_CHAT.parse(body)
    assert caught.value.status == 400
    return caught.value


# Right bodies


def test_all_fields() -> None:
    """Each field arrives in its place."""
    function = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}, "strict": True}
    request = asked(
        max_tokens=5,
        temperature=0.5,
        top_p=1,
        stop=["a", "b"],
        tools=[{"type": "function", "function": function}],
        tool_choice={"type": "function", "function": {"name": "look"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        reasoning_effort="low",
        seed=-1,
        presence_penalty=-2,
        frequency_penalty=2,
        user="u",
        metadata={"k": "v"},
    )
    assert request == ChatRequest(
        model="m",
        messages=(user_message("Hi"),),
        max_tokens=5,
        temperature=0.5,
        top_p=1.0,
        stop=("a", "b"),
        tools=(Tool(name="look", description="Looks.", parameters={"type": "object"}, strict=True),),
        tool_choice=("tool", "look"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(name="n", schema={"type": "object"}),
        reasoning_effort="low",
        seed=-1,
        presence_penalty=-2.0,
        frequency_penalty=2.0,
        user="u",
        metadata={"k": "v"},
    )


def test_nulls_say_nothing() -> None:
    """Each field but the messages may be null, as clients send it that write out what was not set."""
    fields = CompletionBody.model_fields.keys() - {"messages", "model"}
    assert parsed(**dict.fromkeys(fields)) == parsed()


def test_every_field_of_the_client_is_read_or_handed_on() -> None:
    """Whatever the official client can send is a field that is read, or goes to the upstream as it came."""
    known = CompletionBody.model_fields.keys()
    others = {name: [name] for name in get_type_hints(CompletionCreateParamsStreaming).keys() - known}
    assert {"logprobs", "top_logprobs", "logit_bias", "service_tier"} <= others.keys()
    assert asked(**others, vendor={"own": None}).extra == {**others, "vendor": {"own": None}}
    assert asked(n=1, on_disconnect=5, stream=True, stream_options={}).extra == {}


@pytest.mark.parametrize(
    ("fields", "dialect"),
    [
        ({}, None),
        ({"stream": True}, None),
        ({"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": True}}, None),
        ({"stream": True, "stream_options": {"include_usage": True}}, "openai_chat_usage"),
    ],
)
def test_how_the_answer_is_wanted(fields: dict[str, Any], dialect: str | None) -> None:
    """The body says whether the answer streams, and whether the usage comes with it."""
    call = parsed(**fields, on_disconnect="continue")
    assert (call.stream, call.dialect, call.on_disconnect) == (fields.get("stream"), dialect, "continue")


@pytest.mark.parametrize(
    ("field", "value", "attribute", "expected"),
    [
        ("max_completion_tokens", 7, "max_tokens", 7),
        ("stop", "x", "stop", ("x",)),
        ("tool_choice", "required", "tool_choice", "required"),
        ("response_format", {"type": "text"}, "response_format", None),
        ("response_format", {"type": "json_object"}, "response_format", ResponseFormat()),
        ("tools", [], "tools", ()),
    ],
)
def test_other_ways_to_say_it(field: str, value: Any, attribute: str, expected: object) -> None:
    """Newer names and shorter forms mean the same."""
    assert getattr(asked(**{field: value}), attribute) == expected


def test_a_body_without_a_model() -> None:
    """Without a model the default one is asked."""
    assert OPENAI_CHAT.parse(json.dumps({"messages": [ASK]}).encode()).request.model == ""


def test_every_role() -> None:
    """Each role's turn arrives whole: a developer is a system, a refusal is text, reasoning comes first."""
    answer = {**CALLED, "content": [{"type": "refusal", "refusal": "No"}], "refusal": "!", "reasoning_content": "Hm."}
    assert told(
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Or not."}]},
        {"role": "user", "content": "Hi", "name": "Ann"},
        answer,
        RESULT,
    ) == (
        Message(role="system", parts=(Text(text="Be brief."),)),
        Message(role="system", parts=(Text(text="Or not."),)),
        Message(role="user", parts=(Text(text="Hi"),), name="Ann"),
        Message(
            role="assistant",
            parts=(
                Reasoning(text="Hm."),
                Text(text="No"),
                Text(text="!"),
                ToolCall(id="call_1", name="look", arguments='{"at":"it"}'),
            ),
        ),
        Message(role="tool", parts=(ToolResult(id="call_1", content=(Text(text="Seen."),)),)),
    )


def test_images() -> None:
    """A `data:` URL becomes base64 with its media type, any other URL stays one; a tool may answer with images too."""
    parts = [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    images = (
        Text(text="See"),
        Image(data="iVBORw0KGgo=", media_type="image/png", detail="high"),
        Image(url="https://example.com/a.png"),
    )
    said = told({"role": "user", "content": parts}, CALLED, {**RESULT, "content": parts})
    assert said[0].parts == images
    assert said[2].parts == (ToolResult(id="call_1", content=images),)


def test_the_clients_own_answers_come_back() -> None:
    """An answer that the client hands back as it got it, unknown fields and nulls with it, is a turn."""
    answer = ChatCompletion.model_validate_json(OPENAI_CHAT.whole(STREAM_ID, WHOLE)).choices[0].message
    for dumped in (answer.model_dump(), answer.model_dump(exclude_unset=True), {**answer.to_dict(), "annotations": []}):
        [_, said, _] = told(ASK, dumped, RESULT)
        assert [type(part) for part in said.parts] == [Reasoning, Text, Text, ToolCall]


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_arrives(text: str) -> None:
    """Whatever the text, the request has it."""
    assert told({"role": "user", "content": text}) == (user_message(text),)


# Wrong bodies


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b'{"messages": "\\ud83d"}'])
def test_not_json(body: bytes) -> None:
    """What is no JSON is told so."""
    assert refused(body).code == "invalid_json"


def user(**part: Any) -> dict[str, Any]:
    """A user's turn of one part."""
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        # Messages
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": None}, "invalid_type", "messages"),
        ({"messages": ["Hi"]}, "invalid_type", "messages[0]"),
        ({"messages": [{"content": "Hi"}]}, "missing_required_parameter", "messages[0].role"),
        ({"messages": [{**ASK, "role": "robot"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [ASK, {**ASK, "role": "function"}]}, "unsupported_value", "messages[1].role"),
        ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
        ({"messages": [{**CALLED, "tool_calls": []}]}, "missing_required_parameter", "messages[0].content"),
        (
            {"messages": [{**ASK, "content": None, "refusal": "No"}]},
            "missing_required_parameter",
            "messages[0].content",
        ),
        ({"messages": [{**ASK, "content": 5}]}, "invalid_type", "messages[0].content"),
        ({"messages": [{**ASK, "content": []}]}, "invalid_value", "messages[0].content"),
        ({"messages": [{**ASK, "tool_calls": [CALL]}]}, "invalid_value", "messages[0].tool_calls"),
        ({"messages": [{**CALLED, "tool_calls": [{}]}]}, "missing_required_parameter", "messages[0].tool_calls[0].id"),
        (
            {"messages": [{**CALLED, "tool_calls": [{**CALL, "type": "custom"}]}]},
            "invalid_value",
            "messages[0].tool_calls[0].type",
        ),
        ({"messages": [{**CALLED, "function_call": {}}]}, "unsupported_value", "messages[0].function_call"),
        ({"messages": [{**CALLED, "audio": {"id": "a"}}]}, "unsupported_value", "messages[0].audio"),
        ({"messages": [ASK, RESULT]}, "invalid_value", "messages[1].tool_call_id"),
        ({"messages": [RESULT, CALLED]}, "invalid_value", "messages[0].tool_call_id"),
        ({"messages": [CALLED, {**RESULT, "tool_call_id": "call_2"}]}, "invalid_value", "messages[1].tool_call_id"),
        (
            {"messages": [CALLED, {**RESULT, "tool_call_id": None}]},
            "missing_required_parameter",
            "messages[1].tool_call_id",
        ),
        # Parts
        (user(type="input_audio", input_audio={}), "unsupported_value", "messages[0].content[0]"),
        (user(type="file", file={}), "unsupported_value", "messages[0].content[0]"),
        (user(type="video"), "invalid_value", "messages[0].content[0]"),
        (user(text="Hi"), "invalid_value", "messages[0].content[0]"),
        (user(type="text"), "missing_required_parameter", "messages[0].content[0].text"),
        (user(type="refusal", refusal="No"), "invalid_value", "messages[0].content"),
        (user(type="image_url", image_url=PNG), "invalid_type", "messages[0].content[0].image_url"),
        (user(type="image_url", image_url={"url": ""}), "invalid_value", "messages[0].content[0].image_url.url"),
        (user(type="image_url", image_url={"url": "data:,x"}), "invalid_value", "messages[0].content[0].image_url.url"),
        (
            user(type="image_url", image_url={"url": "data:;base64,eA=="}),
            "invalid_value",
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
            "invalid_value",
            "messages[0].content",
        ),
        # The other fields
        ({"model": 5}, "invalid_type", "model"),
        ({"model": ""}, "invalid_value", "model"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_tokens": "5"}, "invalid_type", "max_tokens"),
        ({"max_tokens": 5.5}, "invalid_type", "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "invalid_value", "max_completion_tokens"),
        ({"temperature": "hot"}, "invalid_type", "temperature"),
        ({"temperature": 2.5}, "invalid_value", "temperature"),
        ({"top_p": -1}, "invalid_value", "top_p"),
        ({"n": 2}, "unsupported_value", "n"),
        ({"n": 0}, "invalid_value", "n"),
        ({"stop": 5}, "invalid_type", "stop"),
        ({"seed": 2**63}, "invalid_value", "seed"),
        ({"presence_penalty": 3}, "invalid_value", "presence_penalty"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "invalid_value", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].function"),
        ({"tool_choice": {"type": "allowed_tools"}}, "invalid_value", "tool_choice"),
        ({"functions": [{"name": "look"}]}, "unsupported_value", "functions"),
        ({"function_call": "auto"}, "unsupported_value", "function_call"),
        ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "missing_required_parameter", "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": "x"}}},
            "invalid_type",
            "response_format.json_schema.schema",
        ),
        ({"on_disconnect": "stay"}, "invalid_value", "on_disconnect"),
    ],
)
def test_wrong_fields(fields: dict[str, Any], code: str, param: str) -> None:
    """What is wrong is told with its place, which the message begins with."""
    error = refused(json.dumps({"model": "m", "messages": [ASK], **fields}).encode())
    assert (error.code, error.field) == (code, param)
    assert error.message.startswith(f"{param}: ")


def test_no_messages_at_all() -> None:
    """A body that says nothing is told what it needs, and one that is no object that it must be one."""
    assert (refused(b"{}").code, refused(b"{}").field) == ("missing_required_parameter", "messages")
    assert "JSON object" in refused(b"[]").message
