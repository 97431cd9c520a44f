"""What `POST /v1/chat/completions` takes: right bodies become requests, wrong ones are told where they are wrong."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import msgspec
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
from tailrace.providers import refuse_foreign
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
    """The request that a body with a message and these fields makes, in tailrace's own words."""
    request = parsed(**fields).request
    messages = in_own_words(request.messages)
    return msgspec.structs.replace(request, messages=messages, native=None, verbatim=None, reads="")


def test_a_session_may_hold_the_call() -> None:
    """A result alone is refused, but not where earlier turns are kept on the server."""
    with pytest.raises(RequestError, match="no assistant message before it"):
        parsed(RESULT)
    (result,) = in_own_words(parsed(RESULT, session_id="s").request.messages)
    assert result.parts == (ToolResult(id="call_1", content=(Text(text="Seen."),)),)


def test_null_says_nothing() -> None:
    """A field of the upstream's that is null is not asked for, so that no other upstream refuses it."""
    assert parsed(logit_bias=None, verbosity="low").request.extra == {"verbosity": "low"}


def told(*messages: Any) -> tuple[Message, ...]:
    """The conversation that a body with these messages makes, in tailrace's own words."""
    return in_own_words(parsed(*messages).request.messages)


def in_own_words(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(msgspec.structs.replace(message, verbatim=None) for message in messages)


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
    assert asked(**dict.fromkeys(fields)) == asked()


def test_every_field_of_the_client_is_read_or_handed_on() -> None:
    """Whatever the official client can send is a field that is read, or goes to the upstream as it came."""
    known = CompletionBody.model_fields.keys()
    others = {name: [name] for name in get_type_hints(CompletionCreateParamsStreaming).keys() - known}
    assert {"logprobs", "top_logprobs", "logit_bias", "service_tier"} <= others.keys()
    assert asked(**others, vendor={"own": None}).extra == {**others, "vendor": {"own": None}}
    assert asked(n=1, on_disconnect=5, session_id="s", after="m", stream=True, stream_options={}).extra == {}


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


# What only an upstream of the same format understands


SOUND = {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}}
CUSTOM = {"id": "call_1", "type": "custom", "custom": {"name": "x", "input": "y"}}


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"n": 2}, "n"),
        ({"functions": [{"name": "look"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "custom"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "tool_choice"),
        ({"response_format": {"type": "grammar", "grammar": "x"}}, "response_format"),
        ({"messages": [{**ASK, "content": [SOUND]}]}, "input_audio"),
        ({"messages": [{**ASK, "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "file"),
        ({"messages": [{"role": "function", "name": "look", "content": None}]}, "function"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "look", "arguments": "{}"}}]}, "function_call"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "audio"),
        ({"messages": [{"role": "assistant", "tool_calls": [CUSTOM]}, RESULT]}, "custom"),
    ],
)
def test_what_others_refuse(fields: dict[str, Any], what: str) -> None:
    """What has no word in tailrace passes here, and is refused by name for an upstream of any other format."""
    request = parsed(**fields).request
    refuse_foreign(request, "openai")
    with pytest.raises(RequestError) as caught:
        refuse_foreign(request, "anthropic")
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "unsupported", what)


def test_the_body_is_kept_as_it_came() -> None:
    """Each field, and each message, stays as the client wrote it, but for what is said to tailrace alone."""
    messages = b'[{"role": "user", "content": "Hi", "mood": 1.0}, {"role":"assistant","content":"\\u00e4"}]'
    own = b'"session_id": "s", "after": "m", "on_disconnect": 5, "model": "x"'
    request = OPENAI_CHAT.parse(b'{"seed": 7, "vendor": {"a" : [1e2]}, %b, "messages": %b}' % (own, messages)).request
    assert request.is_native("openai")
    assert not request.is_native("anthropic")
    assert {name: bytes(raw) for name, raw in (request.verbatim or {}).items()} == {
        "seed": b"7",
        "vendor": b'{"a" : [1e2]}',
    }
    assert b"[%b]" % b", ".join(bytes(message.verbatim or b"") for message in request.messages) == messages


def test_a_conversation_goes_on() -> None:
    """A session, and the message of it to go on from, may be named."""
    call = parsed(session_id="tea", after="msg_1")
    assert (call.session_id, call.after) == ("tea", "msg_1")


# Wrong bodies


NAN = b'{"messages": [{"role": "user", "content": "Hi"}], "vendor": NaN}'


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b'{"messages": "\\ud83d"}', NAN])
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
            {"messages": [{**CALLED, "tool_calls": [{"id": "call_1"}]}]},
            "missing_required_parameter",
            "messages[0].tool_calls[0].function",
        ),
        ({"messages": [ASK, RESULT]}, "invalid_value", "messages[1].tool_call_id"),
        ({"messages": [RESULT, CALLED]}, "invalid_value", "messages[0].tool_call_id"),
        ({"messages": [CALLED, {**RESULT, "tool_call_id": "call_2"}]}, "invalid_value", "messages[1].tool_call_id"),
        (
            {"messages": [CALLED, {**RESULT, "tool_call_id": None}]},
            "missing_required_parameter",
            "messages[1].tool_call_id",
        ),
        # Parts
        (user(type=5), "invalid_value", "messages[0].content[0]"),
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
        ({"n": 0}, "invalid_value", "n"),
        ({"stop": 5}, "invalid_type", "stop"),
        ({"seed": 2**63}, "invalid_value", "seed"),
        ({"presence_penalty": 3}, "invalid_value", "presence_penalty"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].function"),
        ({"tool_choice": "look"}, "invalid_value", "tool_choice"),
        ({"tool_choice": 5}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "tool_choice.function"),
        ({"response_format": {"type": "json_schema"}}, "missing_required_parameter", "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": "x"}}},
            "invalid_type",
            "response_format.json_schema.schema",
        ),
        ({"on_disconnect": "stay"}, "invalid_value", "on_disconnect"),
        ({"session_id": ""}, "invalid_value", "session_id"),
        ({"after": "msg_1"}, "invalid_value", "after"),
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
