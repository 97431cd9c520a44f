"""What `POST /v1/messages` takes: right bodies become requests."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsStreaming as BetaParams
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from tests.dialects.anthropic.bodies import (
    ASK,
    CACHED,
    CALL,
    CALLED,
    DOCUMENT,
    PNG,
    RESULT,
    SCHEMA,
    SEARCH,
    TOOL,
    asked,
    native,
    parsed,
    said,
    told,
)

from tailrace.dialects import Call, add_betas, read_prompt
from tailrace.dialects.anthropic.body import MessagesBody
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


def test_least() -> None:
    """A question and a limit are a request, which says whose format it came in."""
    assert parsed() == Call(
        request=ChatRequest(model="m", messages=(user_message("Hi"),), max_tokens=5, native=native(), reads="anthropic")
    )


@pytest.mark.parametrize(
    ("field", "value", "attribute", "expected"),
    [
        ("temperature", 0, "temperature", 0.0),
        ("top_p", 0.5, "top_p", 0.5),
        ("top_k", 40, "top_k", 40),
        ("stop_sequences", ["a", "b"], "stop", ("a", "b")),
        ("max_tokens", 0, "max_tokens", 0),
        ("tools", [TOOL], "tools", (Tool(name="look", parameters=SCHEMA),)),
        ("tool_choice", {"type": "auto"}, "tool_choice", "auto"),
        ("tool_choice", {"type": "any"}, "tool_choice", "required"),
        ("tool_choice", {"type": "none"}, "tool_choice", "none"),
        ("tool_choice", {"type": "any", "disable_parallel_tool_use": True}, "parallel_tool_calls", False),
        ("tool_choice", {"type": "any", "disable_parallel_tool_use": False}, "parallel_tool_calls", None),
        ("output_config", {"effort": "max"}, "reasoning_effort", "max"),
        ("thinking", {"type": "enabled", "budget_tokens": 1024}, "reasoning_effort", "low"),
        ("thinking", {"type": "enabled", "budget_tokens": 4096}, "reasoning_effort", "medium"),
        ("thinking", {"type": "enabled", "budget_tokens": 31999}, "reasoning_effort", "high"),
        ("thinking", {"type": "adaptive"}, "reasoning_effort", None),
        ("thinking", {"type": "disabled"}, "reasoning_effort", "none"),
    ],
)
def test_fields(field: str, value: Any, attribute: str, expected: object) -> None:
    """Each field that other vendors know too is told in the common words."""
    assert getattr(asked(**{field: value}), attribute) == expected


@pytest.mark.parametrize("field", ["output_config", "output_format"])
def test_structured_answers(field: str) -> None:
    """A schema is asked for in its new place or the older one, and upstreams of this format get it in the new one."""
    wanted = {"type": "json_schema", "schema": SCHEMA}
    request = asked(**{field: {"format": wanted} if field == "output_config" else wanted})
    assert request.response_format == ResponseFormat(schema=SCHEMA, strict=True)
    assert request.native == native(hints={"output_config": {"format": wanted}})


def test_one_tool() -> None:
    """A tool is chosen by its name."""
    assert asked(tools=[TOOL], tool_choice={"type": "tool", "name": "look"}).tool_choice == ("tool", "look")


def test_effort_comes_before_a_budget() -> None:
    """What is said outright holds before what a budget for thinking may mean."""
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert asked(thinking=thinking, output_config={"effort": "high"}).reasoning_effort == "high"


def test_the_system_prompt() -> None:
    """It is a message of its own, before all others, as a text or in blocks; nothing is none."""
    prompts: list[Any] = ["Be brief.", [{"type": "text", "text": "Be brief."}]]
    for system in prompts:
        first, second = parsed(system=system).request.messages
        assert first == Message(role="system", parts=(Text(text="Be brief."),))
        assert second == user_message("Hi")
    nothing: list[Any] = ["", [], None]
    assert [parsed(system=system).request.messages for system in nothing] == [(user_message("Hi"),)] * 3


def test_a_conversation() -> None:
    """Text, reasoning shown and hidden, calls and results keep their order, their signature and what went wrong."""
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    redacted = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
    said_too = {"type": "text", "text": "Let me look."}
    failed = {**RESULT, "content": [{"type": "text", "text": "Dark."}, {"type": "image", "source": PNG}]}
    assert told(
        ASK,
        {"role": "assistant", "content": [thinking, redacted, said_too, CALL]},
        {"role": "user", "content": [{**failed, "is_error": True}, {"type": "text", "text": "Well?"}]},
        {"role": "system", "content": "It is night."},
    )[1:] == (
        Message(
            role="assistant",
            parts=(
                Reasoning(text="Hm.", signature="c2ln"),
                Reasoning(text="", redacted="ZGF0YQ=="),
                Text(text="Let me look."),
                ToolCall(id="toolu_1", name="look", arguments='{"at":"it"}'),
            ),
        ),
        Message(
            role="user",
            parts=(
                ToolResult(
                    id="toolu_1",
                    content=(Text(text="Dark."), Image(data="iVBORw0KGgo=", media_type="image/png")),
                    is_error=True,
                ),
                Text(text="Well?"),
            ),
        ),
        Message(role="system", parts=(Text(text="It is night."),)),
    )


def test_reasoning_that_is_not_anthropics() -> None:
    """Our own answers, over other upstreams, have reasoning with an empty signature: none."""
    turn = {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": ""}]}
    assert told(ASK, turn)[1].parts == (Reasoning(text="Hm."),)


def test_images() -> None:
    """An image comes as base64 or as an address, which is kept as it is."""
    url = {"type": "url", "url": "https://example.com/tide.png"}
    assert said({"type": "image", "source": PNG}, {"type": "image", "source": url}) == (
        Image(data="iVBORw0KGgo=", media_type="image/png"),
        Image(url="https://example.com/tide.png"),
    )


def test_results_without_content() -> None:
    """A tool may have nothing to say."""
    empty = {"type": "tool_result", "tool_use_id": "toolu_1"}
    turns = told(ASK, CALLED, {"role": "user", "content": [empty, {**empty, "content": []}]})
    assert turns[2].parts == (ToolResult(id="toolu_1", content=()),) * 2


def test_sessions_and_leaving() -> None:
    """tailrace's own fields are taken here too; a kept conversation may hold the call that is answered."""
    call = parsed({"role": "user", "content": [RESULT]}, session_id="s", on_disconnect=5, stream=True)
    assert (call.session_id, call.on_disconnect, call.stream) == ("s", 5, True)


# What only Anthropic's own upstreams understand


def test_marks_are_hints() -> None:
    """Where to cache, what was cited, who called: kept for Anthropic's upstreams, and no other needs them."""
    marked = {"cache_control": CACHED}
    hint = native(hints=marked)
    request = parsed(
        {"role": "user", "content": [{"type": "text", "text": "Hi", **marked}]},
        {"role": "assistant", "content": [{**CALL, "caller": {"type": "direct"}}]},
        {"role": "user", "content": [{**RESULT, **marked}]},
        system=[{"type": "text", "text": "Be brief.", **marked}],
        tools=[{**TOOL, **marked}],
        cache_control=CACHED,
    ).request
    assert [getattr(message.parts[0], "native", None) for message in request.messages] == [
        hint,
        hint,
        native(hints={"caller": {"type": "direct"}}),
        hint,
    ]
    assert (request.tools[0].native, request.native) == (hint, hint)


def test_what_thinking_was_asked_for_is_kept() -> None:
    """Thinking, effort, tier and user's name go to Anthropic's upstreams in Anthropic's own words."""
    hints = {
        "thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
        "output_config": {"effort": "low"},
        "service_tier": "standard_only",
        "metadata": {"user_id": "u"},
    }
    assert asked(**hints).native == native(hints=hints)


def test_blocks_and_tools_without_a_word_here() -> None:
    """A document or a tool that Anthropic runs itself is kept whole, and needed."""
    assert said(DOCUMENT) == (native(needs=DOCUMENT),)
    assert asked(tools=[SEARCH]).tools == (Tool(name="web_search", native=native(needs=SEARCH)),)
    assert asked(tools=[{"type": "mcp_toolset", "mcp_server_name": "s"}]).tools[0].name == "mcp_toolset"
    result = {**RESULT, "content": [DOCUMENT]}
    assert told(ASK, CALLED, {"role": "user", "content": [result]})[2].parts == (
        ToolResult(id="toolu_1", content=(native(needs=DOCUMENT),)),
    )
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln", "new": 1}
    assert told(ASK, {"role": "assistant", "content": [thinking]})[1].parts == (native(needs=thinking),)


def test_fields_without_a_word_here_are_needed() -> None:
    """A field that is not known is needed, wherever it stands; null says nothing."""
    assert asked(container="c", inference_geo=None).native == native(needs={"container": "c"})
    assert asked(tools=[{**TOOL, "defer_loading": True}]).tools[0].native == native(needs={"defer_loading": True})
    resized = {"type": "image", "source": PNG, "transformations": {"oversized_image": "error"}}
    assert said(resized)[0].native == native(needs={"transformations": {"oversized_image": "error"}})
    config = {"effort": "low", "task_budget": 5}
    assert asked(output_config=config).native == native(needs={"output_config": config})


@pytest.mark.parametrize("types", [MessageCreateParamsStreaming, BetaParams, MessageCountTokensParams])
def test_every_field_of_the_client_is_read_or_handed_on(types: type) -> None:
    """Whatever the official client can send is a field that is read, or goes to Anthropic's upstreams as it came."""
    others = {name: [name] for name in get_type_hints(types).keys() - MessagesBody.model_fields.keys() - {"betas"}}
    assert asked(**others).native == native(needs=others)


def test_betas() -> None:
    """The beta features of a request's header are a hint; what is no list of names is refused."""
    request = add_betas(asked(), "context-1m-2025-08-07, files-api-2025-04-14")
    assert request.native == native(hints={"anthropic-beta": "context-1m-2025-08-07, files-api-2025-04-14"})
    assert add_betas(asked(), None) == add_betas(asked(), "") == asked()
    with pytest.raises(RequestError, match="names, separated by commas"):
        add_betas(asked(), "a;b\N{SNOWMAN}")


# Prompts to be counted


def test_a_prompt_needs_no_limit() -> None:
    """What is only counted says no limit, and is checked like any other body."""
    assert read_prompt(json.dumps({"model": "m", "messages": [ASK]}).encode()).messages == (user_message("Hi"),)
    with pytest.raises(RequestError, match="messages: must not be empty"):
        read_prompt(b'{"model":"m","messages":[]}')
