"""Requests in Ollama's words, to the last byte of meaning."""

from __future__ import annotations

from typing import Any

import pytest
from tests.providers.reading import ask, written

from tailrace.errors import RequestError
from tailrace.providers.ollama.body import write_request
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Native,
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
USER = {"role": "user", "content": "Hi"}


def write(request: ChatRequest) -> Any:
    return written(write_request(request))


def turn(role: Any, *parts: Part, **fields: Any) -> Message:
    return Message(role=role, parts=parts, **fields)


def messages(*turns: Message) -> Any:
    return write(ask(*turns))["messages"]


def test_least() -> None:
    """A plain question asks for a stream and for nothing that was not said."""
    assert write(ask()) == {"model": "m", "messages": [USER], "stream": True}


def test_all() -> None:
    """Every field that the format knows has its word."""
    request = ask(
        max_tokens=5,
        temperature=0.0,
        top_p=0.5,
        stop=("a", "b"),
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        tools=(Tool(name="g", description="d", parameters={"type": "object"}, strict=False),),
        tool_choice="auto",
        parallel_tool_calls=True,
        response_format=ResponseFormat(name="n", schema={"type": "object"}, strict=True),
        reasoning_effort="low",
        extra={"keep_alive": "5m", "options": {"top_k": 3, "seed": 1}},
    )
    function = {"name": "g", "description": "d", "parameters": {"type": "object"}, "strict": False}
    assert write(request) == {
        "model": "m",
        "messages": [USER],
        "stream": True,
        "keep_alive": "5m",
        "options": {
            "top_k": 3,
            "temperature": 0.0,
            "top_p": 0.5,
            "seed": 7,
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "num_predict": 5,
            "stop": ["a", "b"],
        },
        "tools": [{"type": "function", "function": function}],
        "format": {"type": "object"},
        "think": "low",
    }


def test_any_json() -> None:
    """JSON without a schema is the word for it."""
    assert write(ask(response_format=ResponseFormat()))["format"] == "json"


@pytest.mark.parametrize(("effort", "think"), [("none", False), ("low", "low"), ("medium", "medium"), ("high", "high")])
def test_think(effort: str, think: bool | str) -> None:
    """Effort is a level of thinking, or none of it."""
    assert write(ask(reasoning_effort=effort))["think"] == think


def test_no_tool_to_be_called() -> None:
    """Tools that must not be called are not offered, which is the same."""
    assert "tools" not in write(ask(tools=(Tool(name="f"),), tool_choice="none"))


def test_turns() -> None:
    """Each role writes its turn: images as bare base64, reasoning as thinking, arguments as the JSON they are."""
    assert messages(
        turn("system", Text(text="Be brief.")),
        turn("user", Text(text="See"), Image(data="QUJD"), Image(url="data:image/png;base64,REVG")),
        turn("assistant", Reasoning(text="Hm", signature="S"), Reasoning(text="."), Text(text="x"), CALL),
        turn("tool", ToolResult(id="call_1", content=(Text(text="mild"),)), name="get_weather"),
        turn("user", Text(text="And?"), ToolResult(id="call_9", content=(Text(text="lost"),), is_error=True)),
        turn("user"),
    ) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "See", "images": ["QUJD", "REVG"]},
        {
            "role": "assistant",
            "content": "x",
            "thinking": "Hm.",
            "tool_calls": [{"id": "call_1", "function": {"name": "get_weather", "arguments": {"city": "Bern"}}}],
        },
        {"role": "tool", "content": "mild", "tool_call_id": "call_1", "tool_name": "get_weather"},
        {"role": "tool", "content": "Error: lost", "tool_call_id": "call_9"},
        {"role": "user", "content": "And?"},
        {"role": "user", "content": ""},
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": (Tool(name="f"),), "tool_choice": "required"}, "tool_choice"),
        ({"tools": (Tool(name="f"),), "tool_choice": ("tool", "f")}, "tool_choice"),
        ({"tools": (Tool(name="f"),), "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"tools": (Tool(name="f"), Tool(name="g", strict=True))}, "tools.1.strict"),
        ({"reasoning_effort": "xhigh"}, "reasoning_effort"),
        ({"user": "u"}, "user"),
        ({"metadata": {}}, "metadata"),
        ({"extra": {"logit_bias": {}, "keep_alive": 1}}, "logit_bias"),
    ],
)
def test_impossible_fields(fields: dict[str, Any], field: str) -> None:
    """What Ollama can't do is refused by name: it would ignore it in silence."""
    with pytest.raises(RequestError) as caught:
        write(ask(**fields))
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "unsupported", field)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (turn("user", Image(url="https://example.com/a.png")), "messages.1"),
        (turn("user", Image(data="QUJD", detail="low")), "messages.1"),
        (turn("assistant", Image(data="QUJD")), "messages.1"),
        (turn("user", CALL), "messages.1"),
        (turn("tool", Text(text="x")), "messages.1"),
        (turn("tool", ToolResult(id="a", content=(Image(data="QUJD"),))), "messages.1"),
        (turn("user", Text(text="x"), name="Ann"), "messages.1.name"),
    ],
)
def test_impossible_turns(message: Message, field: str) -> None:
    """A part that a turn of this role can't have is refused with its place; an image's URL is never fetched."""
    with pytest.raises(RequestError) as caught:
        messages(user_message("Hi"), message)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "unsupported", field)


@pytest.mark.parametrize("arguments", ["{", "[1]", "null"])
def test_invalid_arguments(arguments: str) -> None:
    """Arguments that are no JSON object are refused, naming the call."""
    with pytest.raises(RequestError, match="must be a JSON object") as caught:
        messages(turn("assistant", ToolCall(id="a", name="f", arguments=arguments)))
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "invalid", "messages.0")


def test_what_an_ollama_client_said() -> None:
    """A client of the same format is handed on as it spoke, before what the common words say of the same."""
    native = Native(
        format="ollama", needs={"options.mirostat": 2, "new": 1}, hints={"think": True, "options.num_predict": -1}
    )
    body = write(ask(native=native, reasoning_effort="medium", max_tokens=9, temperature=0.5, top_k=3))
    assert body["options"] == {"temperature": 0.5, "top_k": 3, "num_predict": -1, "mirostat": 2}
    assert (body["think"], body["new"]) == (True, 1)
    assert not any(name.startswith("options.") for name in body)


def test_what_a_client_of_another_format_said() -> None:
    """What is not in this format is none of its words."""
    assert "cache" not in write(ask(native=Native(format="anthropic", hints={"cache": 1})))
