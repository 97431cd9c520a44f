"""What `POST /v1/responses` takes: right bodies become requests, wrong ones are told where they are wrong."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from tailrace.dialects import OPENAI_RESPONSES, Call
from tailrace.dialects.openai_responses import ResponseBody, read_response
from tailrace.errors import RequestError
from tailrace.providers import refuse_foreign
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Native,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    user_message,
)

CALL: Final = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": '{"at":"it"}'}
RESULT: Final = {"type": "function_call_output", "call_id": "c1", "output": "Seen."}
CALLED: Final = ToolCall(id="c1", name="look", arguments='{"at":"it"}')
ANSWERED: Final = Message(role="tool", parts=(ToolResult(id="c1", content=(Text(text="Seen."),)),))
PNG: Final = "data:image/png;base64,iVBORw0KGgo="
NATIVE: Final = "openai_responses"


def parsed(**fields: Any) -> Call:
    return OPENAI_RESPONSES.parse(json.dumps({"model": "m", "input": "Hi", **fields}).encode())


def asked(**fields: Any) -> ChatRequest:
    """What is asked, in tailrace's own words alone."""
    request = parsed(**fields).request
    messages = tuple(msgspec.structs.replace(message, verbatim=None) for message in request.messages)
    return msgspec.structs.replace(request, messages=messages, verbatim=None, reads="")


def told(*items: Any) -> tuple[Message, ...]:
    """The conversation that these items make."""
    return asked(input=list(items)).messages


def refused(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parsed(**fields)
    assert caught.value.status == 400
    return caught.value


# Right bodies


def test_all_fields() -> None:
    """Each field arrives in its place."""
    request = asked(
        instructions="Be brief.",
        max_output_tokens=5,
        temperature=0.5,
        top_p=1,
        tools=[{"type": "function", "name": "look", "description": "Looks.", "parameters": {}, "strict": True}],
        tool_choice={"type": "function", "name": "look"},
        parallel_tool_calls=False,
        text={
            "format": {
                "type": "json_schema",
                "name": "n",
                "description": "D",
                "schema": {"type": "object"},
                "strict": True,
            }
        },
        reasoning={"effort": "low"},
        user="u",
    )
    assert request == ChatRequest(
        model="m",
        messages=(Message(role="system", parts=(Text(text="Be brief."),)), user_message("Hi")),
        max_tokens=5,
        temperature=0.5,
        top_p=1.0,
        tools=(Tool(name="look", description="Looks.", parameters={}, strict=True),),
        tool_choice=("tool", "look"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(name="n", description="D", schema={"type": "object"}, strict=True),
        reasoning_effort="low",
        user="u",
        native=Native(format=NATIVE),
    )


def test_nulls_say_nothing() -> None:
    """Each field but the input may be null, as clients send it that write out what was not set."""
    fields = ResponseBody.model_fields.keys() - {"input", "model"}
    assert asked(**dict.fromkeys(fields)) == asked()


def test_every_field_of_the_client_is_known() -> None:
    """Whatever the official client can send is read, or goes to the upstream as it came."""
    hints = get_type_hints(ResponseCreateParamsStreaming).keys()
    others = {name: [name] for name in hints - ResponseBody.model_fields.keys()}
    assert asked(**others).extra == others
    assert others.keys() == {"access_programs", "image", "prompt_cache_options"}


def test_what_stays_with_us() -> None:
    """Storing, metadata and hints change nothing in what an upstream of another format is asked."""
    request = asked(
        metadata={"k": "v"},
        store=False,
        include=["reasoning.encrypted_content"],
        stream_options={"include_obfuscation": False},
        truncation="disabled",
        service_tier="auto",
        max_tool_calls=3,
        prompt_cache_key="p",
        safety_identifier="s",
        reasoning={"summary": "auto"},
        text={"format": {"type": "text"}, "verbosity": "medium"},
    )
    assert request.native == Native(
        format=NATIVE,
        hints={"prompt_cache_key": "p", "safety_identifier": "s", "reasoning": {"summary": "auto"}},
    )
    refuse_foreign(request, "anthropic")
    assert (request.user, request.extra, request.metadata) == ("s", {}, None)


def test_what_the_upstream_judges() -> None:
    """What changes the answer is never dropped: the upstream gets it, or the request is refused for it."""
    assert asked(service_tier="flex", text={"verbosity": "low"}, vendor=1).extra == {
        "service_tier": "flex", "verbosity": "low", "vendor": 1,
    }  # fmt: skip
    for fields in (
        {"truncation": "auto"},
        {"tools": [{"type": "web_search"}]},
        {"tool_choice": {"type": "web_search"}},
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "s"}]}},
        {"include": ["message.output_text.logprobs"]},
        {"top_logprobs": 2},
        {"prompt": {"id": "p"}},
        {"context_management": [{"type": "compaction"}]},
        {"input": [{"role": "user", "content": "a"}, {"type": "local_shell_call", "id": "lsh_1"}]},
        {"input": [{"type": "custom_tool_call_output", "call_id": "c", "output": "o"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f", "detail": "auto"}]}]},
    ):
        request = asked(**fields)
        refuse_foreign(request, NATIVE)
        with pytest.raises(RequestError, match="openai_responses alone"):
            refuse_foreign(request, "openai")


@pytest.mark.parametrize(
    ("choice", "tools", "chosen"),
    [
        ("required", ["f", "g"], "required"),
        ({"type": "function", "name": "g"}, ["f", "g"], ("tool", "g")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]},
            ["g"],
            "required",
        ),
    ],
)
def test_tool_choices(choice: Any, tools: list[str], chosen: object) -> None:
    """One tool by name, or some of them, or however many."""
    request = asked(tools=[{"type": "function", "name": name} for name in ("f", "g")], tool_choice=choice)
    assert ([tool.name for tool in request.tools], request.tool_choice) == (tools, chosen)


def test_formats() -> None:
    """Text is no format at all; JSON is any object, or one that obeys a schema."""
    assert asked(text={"format": {"type": "text"}}).response_format is None
    assert asked(text={"format": {"type": "json_object"}}).response_format == ResponseFormat()


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({}, None),
        ({"background": True}, "continue"),
        ({"background": True, "on_disconnect": 5}, 5.0),
        ({"on_disconnect": "cancel"}, "cancel"),
    ],
)
def test_the_background_is_a_policy(fields: Any, policy: object) -> None:
    """An answer in the background goes on without readers, unless the request says otherwise."""
    assert parsed(**fields).on_disconnect == policy


@pytest.mark.parametrize("conversation", ["c1", {"id": "c1"}])
def test_a_conversation_is_a_session(conversation: Any) -> None:
    """A conversation's id is a session's; results of calls that stand in it are taken at their word."""
    assert parsed(conversation=conversation, input=[RESULT]).session_id == "c1"
    assert asked(conversation=conversation, input=[RESULT]).messages == (ANSWERED,)


# Items


def test_messages() -> None:
    """Messages with or without their type, of text or of parts, in every role."""
    assert told(
        {"role": "system", "content": "S"},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "D"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PNG}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.org/a", "detail": "low"}]},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
            {"type": "output_text", "text": "A", "annotations": [], "logprobs": []}, {"type": "refusal", "refusal": "R"}
        ]},
    ) == (
        Message(role="system", parts=(Text(text="S"),)),
        Message(role="system", parts=(Text(text="D"),)),
        Message(role="user", parts=(Text(text="a"), Image(data="iVBORw0KGgo=", media_type="image/png"))),
        Message(role="user", parts=(Image(url="https://example.org/a", detail="low"),)),
        Message(role="assistant", parts=(Text(text="A"), Text(text="R"))),
    )  # fmt: skip


def test_one_turn_of_the_assistant() -> None:
    """What the assistant said in one go is one message, so that a turn's calls stay together; two texts are two."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    silent = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "sig"}
    empty = {"type": "reasoning", "id": "rs_3", "summary": []}
    said = {"role": "assistant", "content": "A"}
    again = {**CALL, "call_id": "c2"}
    assert told(thought, silent, empty, said, CALL, again, RESULT, {**RESULT, "call_id": "c2"}, said, said) == (
        Message(
            role="assistant",
            parts=(
                Reasoning(text="Hm."),
                Reasoning(text="", signature="sig"),
                Text(text="A"),
                CALLED,
                ToolCall(id="c2", name="look", arguments='{"at":"it"}'),
            ),
        ),
        ANSWERED,
        Message(role="tool", parts=(ToolResult(id="c2", content=(Text(text="Seen."),)),)),
        Message(role="assistant", parts=(Text(text="A"),)),
        Message(role="assistant", parts=(Text(text="A"),)),
    )


def test_an_output_of_parts() -> None:
    """A function's output may be text and images."""
    content = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PNG, "detail": "auto"}]
    _, answered = told(CALL, {**RESULT, "output": content})
    assert answered.parts == (
        ToolResult(id="c1", content=(Text(text="a"), Image(data="iVBORw0KGgo=", media_type="image/png"))),
    )


def test_references_are_found() -> None:
    """A stored item stands for what it was; one that is not stored is not found, and its place is named."""
    body = read_response(b'{"input": [{"id": "msg_1"}, {"type": "item_reference", "id": "rs_1"}]}')
    assert body.references == ["msg_1", "rs_1"]
    said, thought = Text(text="A"), Reasoning(text="Hm.")
    found = {name: Message(role="assistant", parts=(part,)) for name, part in (("msg_1", said), ("rs_1", thought))}
    assert body.read_input(found) == (Message(role="assistant", parts=(said, thought)),)
    with pytest.raises(RequestError) as caught:
        body.read_input({"msg_1": found["msg_1"]})
    assert (caught.value.status, caught.value.field) == (404, "input.1")


# Wrong bodies


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "nobody", "content": "Hi"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "output_text", "text": "Hi"}]}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,x"}]}]},
         "input[0].content[0].image_url"),
        ({"input": [{"role": "user", "content": [{"text": "Hi"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, "input[0].name"),
        ({"model": 5}, "model"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"store": "yes"}, "store"),
        ({"store": False, "background": True}, "background"),
        ({"store": False, "conversation": "c"}, "store"),
        ({"conversation": "c", "previous_response_id": "resp_1"}, "conversation"),
        ({"tools": [{"name": "f"}]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"name": "f"}}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"include": [5]}, "include[0]"),
        ({"top_logprobs": -1}, "top_logprobs"),
        ({"prompt": "p"}, "prompt"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"on_disconnect": "never"}, "on_disconnect"),
    ],
)  # fmt: skip
def test_the_place_of_a_fault_is_told(fields: Any, param: str) -> None:
    """What is wrong is refused with 400, and with OpenAI's own way of writing its place."""
    error = refused(**fields)
    body = json.loads(OPENAI_RESPONSES.refusal(error, "req_1")[1])["error"]
    assert body["param"] == param
    assert param.partition("[")[0] in body["message"]


def test_calls_and_outputs_go_together() -> None:
    """An output whose call is not there, and a call whose output is not, are told by their ids."""
    assert (refused(input=[RESULT]).field, "c1" in str(refused(input=[RESULT]))) == ("input.0.call_id", True)
    assert (refused(input=[CALL]).field, "c1" in str(refused(input=[CALL]))) == ("input", True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"Hi"', b"null", b'{"input": NaN}'])
def test_no_object_is_no_body(body: bytes) -> None:
    """What is not a JSON object is refused as that."""
    with pytest.raises(RequestError) as caught:
        OPENAI_RESPONSES.parse(body)
    assert caught.value.status == 400


NAMES: Final = st.sampled_from(["type", "role", "content", "text", "id", "call_id", "name", "format", "output"])
WORDS: Final = st.sampled_from(["message", "user", "function_call", "reasoning", "json_schema", "auto"]) | st.text()
ANY_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(ResponseBody.model_fields)), ANY_JSON))
def test_any_json_is_a_request_or_refused(fields: dict[str, Any]) -> None:
    """Whatever the JSON, it is read, or refused in order."""
    with contextlib.suppress(RequestError):
        assert parsed(**fields).request
