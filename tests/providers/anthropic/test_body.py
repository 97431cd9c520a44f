"""Requests in Anthropic's words, to the last byte of meaning."""

from __future__ import annotations

from typing import Any

import pytest
from tests.providers.reading import ask, written

from tailrace.errors import RequestError
from tailrace.providers.anthropic.body import write_request
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

CALL = ToolCall(id="toolu_1", name="get_weather", arguments='{"city": "Bern", "far": 1.50}')


def write(request: ChatRequest) -> Any:
    return written(write_request(request, default_max_tokens=4096))


def turn(role: Any, *parts: Part, **fields: Any) -> Message:
    return Message(role=role, parts=parts, **fields)


def messages(*turns: Message) -> Any:
    return write(ask(*turns))["messages"]


def said(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def test_least() -> None:
    """A plain question asks for a stream, with the limit that the format demands, and for nothing else."""
    assert write(ask()) == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [said("Hi")]}],
        "stream": True,
    }


def test_all() -> None:
    """Every field that the format knows has its word."""
    request = ask(
        max_tokens=5,
        temperature=0.0,
        top_p=0.5,
        stop=("a", "b"),
        tools=(Tool(name="f"), Tool(name="g", description="d", parameters={"type": "object", "x": 1}, strict=True)),
        tool_choice=("tool", "g"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(name="n", schema={"type": "object"}),
        reasoning_effort="low",
        user="u",
        extra={"top_k": 3, "thinking": {"type": "adaptive"}, "stream": False},
    )
    assert write(request) == {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [said("Hi")]}],
        "temperature": 0.0,
        "top_p": 0.5,
        "stop_sequences": ["a", "b"],
        "tools": [
            {"name": "f", "input_schema": {"type": "object"}},
            {"name": "g", "description": "d", "input_schema": {"type": "object", "x": 1}, "strict": True},
        ],
        "tool_choice": {"type": "tool", "name": "g", "disable_parallel_tool_use": True},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u"},
        "top_k": 3,
        "thinking": {"type": "adaptive"},
        "stream": True,
    }


@pytest.mark.parametrize(
    ("choice", "parallel", "written_choice"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", None, {"type": "none"}),
        ("required", None, {"type": "any"}),
        (("tool", "f"), None, {"type": "tool", "name": "f"}),
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
    ],
)
def test_tool_choice(choice: Any, parallel: bool | None, written_choice: Any) -> None:
    """Each choice has its word, and one call at a time is a part of it."""
    body = write(ask(tools=(Tool(name="f"),), tool_choice=choice, parallel_tool_calls=parallel))
    assert body.get("tool_choice") == written_choice


def test_system() -> None:
    """System messages, wherever they stand, become the one system prompt."""
    body = write(ask(turn("system", Text(text="A")), user_message("Hi"), turn("system", Text(text="B"))))
    assert body["system"] == "A\n\nB"
    assert body["messages"] == [{"role": "user", "content": [said("Hi")]}]


def test_turns_alternate() -> None:
    """Neighbours of one role become one turn, results of tools count as the user's, and empty text is left out."""
    assert messages(
        user_message("A"),
        user_message("B"),
        turn("assistant", Text(text=""), CALL),
        turn("tool", ToolResult(id="toolu_1", content=(Text(text="mild"),)), name="get_weather"),
        user_message("C"),
        turn("assistant", Text(text="D")),
        turn("assistant", Text(text="E")),
        turn("assistant", Text(text="")),
    ) == [
        {"role": "user", "content": [said("A"), said("B")]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bern", "far": 1.5}}
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [said("mild")]},
                said("C"),
            ],
        },
        {"role": "assistant", "content": [said("D"), said("E")]},
    ]


def test_arguments_are_not_touched() -> None:
    """A call's arguments are written as the model wrote them."""
    body = write_request(ask(turn("assistant", CALL)), default_max_tokens=1)
    assert b'"input":{"city": "Bern", "far": 1.50}' in body


def test_call_without_arguments() -> None:
    """A call without arguments has an empty object."""
    call = ToolCall(id="a", name="f", arguments="")
    assert messages(turn("assistant", call))[0]["content"][0]["input"] == {}


def test_results() -> None:
    """A result may hold images, be an error, or be empty."""
    image = Image(data="QUJD", media_type="image/png")
    assert messages(
        turn("tool", ToolResult(id="a", content=(Text(text="x"), image), is_error=True), ToolResult(id="b", content=()))
    )[0]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [
                said("x"),
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
            ],
            "is_error": True,
        },
        {"type": "tool_result", "tool_use_id": "b"},
    ]


def test_images() -> None:
    """An image is base64 with its type, out of a data URL too, or a URL that the vendor fetches."""
    assert [
        block["source"]
        for block in messages(
            turn(
                "user",
                Image(data="QUJD", media_type="image/png"),
                Image(url="data:image/webp;base64,REVG", detail="auto"),
                Image(url="https://example.com/a.png"),
            )
        )[0]["content"]
    ] == [
        {"type": "base64", "media_type": "image/png", "data": "QUJD"},
        {"type": "base64", "media_type": "image/webp", "data": "REVG"},
        {"type": "url", "url": "https://example.com/a.png"},
    ]


def test_thinking() -> None:
    """Signed thinking goes back as it came; unsigned thinking is another vendor's, which the API would refuse."""
    assert messages(turn("assistant", Reasoning(text="Hm.", signature="S"), Reasoning(text="foreign"), Text(text="x")))[
        0
    ]["content"] == [{"type": "thinking", "thinking": "Hm.", "signature": "S"}, said("x")]


def test_metadata() -> None:
    """The user's id is the one piece of metadata that the format keeps."""
    assert write(ask(metadata={"user_id": "a"}))["metadata"] == {"user_id": "a"}
    assert write(ask(metadata={"user_id": "a"}, user="b"))["metadata"] == {"user_id": "b"}


def test_extra_output_config() -> None:
    """An output_config of the client's own is added to, not overwritten."""
    body = write(ask(extra={"output_config": {"effort": "max"}}, response_format=ResponseFormat(schema={})))
    assert body["output_config"] == {"effort": "max", "format": {"type": "json_schema", "schema": {}}}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"seed": 1}, "seed"),
        ({"presence_penalty": 0.0}, "presence_penalty"),
        ({"frequency_penalty": 0.0}, "frequency_penalty"),
        ({"reasoning_effort": "minimal"}, "reasoning_effort"),
        ({"response_format": ResponseFormat()}, "response_format"),
        ({"metadata": {"user_id": "a", "trace": "b"}}, "metadata.trace"),
    ],
)
def test_impossible_fields(fields: dict[str, Any], field: str) -> None:
    """What the API can't do is refused by name, not left out."""
    with pytest.raises(RequestError) as caught:
        write(ask(**fields))
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "unsupported", field)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (turn("system", Image(url="https://example.com/a.png")), "messages.1"),
        (turn("assistant", Image(url="https://example.com/a.png")), "messages.1"),
        (turn("user", CALL), "messages.1"),
        (turn("user", Reasoning(text="Hm.", signature="S")), "messages.1"),
        (turn("assistant", ToolResult(id="a", content=())), "messages.1"),
        (turn("tool", Text(text="x")), "messages.1"),
        (turn("user", Text(text="x"), name="Ann"), "messages.1.name"),
        (turn("user", Image(url="https://example.com/a.png", detail="high")), "messages.1"),
    ],
)
def test_impossible_turns(message: Message, field: str) -> None:
    """A part that a turn of this role can't have is refused with its place, not left out."""
    with pytest.raises(RequestError) as caught:
        messages(user_message("Hi"), message)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "unsupported", field)


@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"', "null", '{"a": "\ud83d"}', "[" * 100_000])
def test_invalid_arguments(arguments: str) -> None:
    """Arguments that are no JSON object are refused, naming the call."""
    with pytest.raises(RequestError, match="must be a JSON object") as caught:
        messages(turn("assistant", ToolCall(id="a", name="f", arguments=arguments)))
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "invalid", "messages.0")


@pytest.mark.parametrize("image", [Image(), Image(data="QUJD")])
def test_incomplete_image(image: Image) -> None:
    """An image with neither data nor URL, or data of no type, is refused with what would be right."""
    with pytest.raises(RequestError, match=r"media_type|url") as caught:
        messages(turn("user", image))
    assert (caught.value.status, caught.value.code) == (400, "invalid")
