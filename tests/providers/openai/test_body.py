"""Requests in OpenAI's words, to the last byte of meaning."""

from __future__ import annotations

from typing import Any

import pytest
from tests.providers.reading import ask, written

from tailrace.errors import RequestError
from tailrace.providers.openai.body import write_request
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    user_message,
)

CALL = ToolCall(id="call_1", name="get_weather", arguments='{"city": "Bern"}')
USER: dict[str, Any] = {"role": "user", "content": "Hi"}


def write(request: ChatRequest, host: str = "example.com") -> Any:
    return written(write_request(request, host=host))


def turn(role: Any, *parts: Part, **fields: Any) -> Message:
    return Message(role=role, parts=parts, **fields)


def messages(*turns: Message, host: str = "example.com") -> Any:
    return write(ask(*turns), host)["messages"]


def test_least() -> None:
    """A plain question asks for a stream with usage, and for nothing that was not said."""
    assert write(ask()) == {
        "model": "m",
        "messages": [USER],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_all() -> None:
    """Every field has its word."""
    request = ask(
        max_tokens=5,
        temperature=0.0,
        top_p=0.5,
        stop=("a", "b"),
        tools=(Tool(name="f"), Tool(name="g", description="d", parameters={"type": "object"}, strict=True)),
        tool_choice=("tool", "g"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(name="n", schema={"type": "object"}, strict=True),
        reasoning_effort="low",
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        user="u",
        metadata={"k": "v"},
    )
    assert write(request) == {
        "model": "m",
        "messages": [USER],
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["a", "b"],
        "tools": [
            {"type": "function", "function": {"name": "f"}},
            {
                "type": "function",
                "function": {"name": "g", "description": "d", "parameters": {"type": "object"}, "strict": True},
            },
        ],
        "tool_choice": {"type": "function", "function": {"name": "g"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        },
        "reasoning_effort": "low",
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "user": "u",
        "metadata": {"k": "v"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_tool_choice(choice: Any) -> None:
    """The plain choices are the same words."""
    assert write(ask(tool_choice=choice))["tool_choice"] == choice


def test_any_json() -> None:
    """JSON without a schema is `json_object`, and a schema without a name gets one, which the format demands."""
    assert write(ask(response_format=ResponseFormat()))["response_format"] == {"type": "json_object"}
    assert write(ask(response_format=ResponseFormat(schema={})))["response_format"]["json_schema"]["name"] == "answer"


def test_extra() -> None:
    """Fields of the client's own are handed on, but change nothing that tailrace decides."""
    body = write(ask(extra={"n": 2, "top_k": 5, "stream": False, "model": "other", "stream_options": {}}))
    assert (body["n"], body["top_k"]) == (2, 5)
    assert (body["stream"], body["model"], body["stream_options"]) == (True, "m", {"include_usage": True})


@pytest.mark.parametrize(
    ("host", "model", "name"),
    [
        ("api.openai.com", "o1", "max_completion_tokens"),
        ("api.openai.com", "o3-mini", "max_completion_tokens"),
        ("api.openai.com", "o4-mini-2025-04-16", "max_completion_tokens"),
        ("api.openai.com", "gpt-5-nano", "max_completion_tokens"),
        ("eu.api.openai.com", "gpt-5", "max_completion_tokens"),
        ("api.openai.com", "ft:o4-mini:org", "max_completion_tokens"),
        ("api.openai.com", "gpt-4o-mini", "max_tokens"),
        ("openrouter.ai", "o3-mini", "max_tokens"),
        ("notopenai.com", "gpt-5", "max_tokens"),
        ("localhost", "gpt-5", "max_tokens"),
    ],
)
def test_limit(host: str, model: str, name: str) -> None:
    """OpenAI's reasoning models get the newer name, and every other server the one that all know."""
    body = write(ask(model=model, max_tokens=9), host)
    assert {key: body.get(key) for key in ("max_tokens", "max_completion_tokens")} == {
        "max_tokens": None,
        "max_completion_tokens": None,
    } | {name: 9}


def test_turns() -> None:
    """Each role writes its turn, names included."""
    assert messages(
        turn("system", Text(text="Be brief.")),
        turn("user", Text(text="Hi"), name="Ann"),
        turn("assistant", Text(text="Hel"), Text(text="lo"), name="Bot"),
        turn("user"),
        turn("assistant"),
    ) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "Ann", "content": "Hi"},
        {"role": "assistant", "name": "Bot", "content": "Hello"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": ""},
    ]


def test_images() -> None:
    """Images are `image_url` parts: base64 in a data URL, a URL as it is, with the detail that was asked for."""
    assert messages(
        turn(
            "user",
            Text(text="See"),
            Image(data="QUJD", media_type="image/png", detail="low"),
            Image(url="https://example.com/a.png"),
        )
    )[0]["content"] == [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]


def test_tools_in_turns() -> None:
    """Calls are the assistant's, and each result is a message of its own, before what the user says beside it."""
    assert messages(
        turn("assistant", CALL, ToolCall(id="call_2", name="get_time", arguments="")),
        turn("tool", ToolResult(id="call_1", content=(Text(text="mild"), Text(text=", 12 °C")))),
        turn("user", Text(text="And?"), ToolResult(id="call_2", content=(Text(text="lost"),), is_error=True)),
    ) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Bern"}'},
                },
                {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "mild, 12 °C"},
        {"role": "tool", "tool_call_id": "call_2", "content": "Error: lost"},
        {"role": "user", "content": "And?"},
    ]


def test_reasoning() -> None:
    """Earlier reasoning goes back only to the vendor that demands it: the format has no place for it."""
    thought = turn("assistant", Reasoning(text="Hm."), CALL)
    assert "reasoning_content" not in messages(thought)[0]
    assert messages(thought, host="api.deepseek.com")[0]["reasoning_content"] == "Hm."


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (turn("system", Image(url="https://example.com/a.png")), "messages.1"),
        (turn("assistant", Image(url="https://example.com/a.png")), "messages.1"),
        (turn("user", CALL), "messages.1"),
        (turn("user", Reasoning(text="Hm.")), "messages.1"),
        (turn("tool", Text(text="x")), "messages.1"),
        (turn("system", ToolResult(id="a", content=())), "messages.1"),
        (turn("tool", ToolResult(id="a", content=(Image(url="https://example.com/a.png"),))), "messages.1"),
    ],
)
def test_impossible(message: Message, field: str) -> None:
    """A part that a turn of this role can't have is refused with its place, not left out."""
    with pytest.raises(RequestError) as caught:
        messages(user_message("Hi"), message)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "unsupported", field)


@pytest.mark.parametrize("image", [Image(), Image(data="QUJD")])
def test_incomplete_image(image: Image) -> None:
    """An image with neither data nor URL, or data of no type, is refused with what would be right."""
    with pytest.raises(RequestError, match=r"media_type|url") as caught:
        messages(turn("user", image))
    assert (caught.value.status, caught.value.code) == (400, "invalid")


def test_broken_text() -> None:
    """Text that no JSON can carry is refused, not mangled."""
    with pytest.raises(RequestError, match="surrogate") as caught:
        messages(user_message("a\ud83d"))
    assert caught.value.status == 400
