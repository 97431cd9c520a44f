"""Requests in the words of OpenAI's Responses API, to the last byte of meaning."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter
from tests.providers.reading import ask, written

from tailrace.errors import RequestError
from tailrace.providers.openai_responses.body import write_request
from tailrace.requests import ChatRequest, ResponseFormat, Tool, user_message

ENCRYPTED = ["reasoning.encrypted_content"]
TOOL = {"type": "function", "name": "f", "parameters": None, "strict": False}


def write(request: ChatRequest, host: str = "example.com") -> Any:
    return written(write_request(request, host=host))


def test_least() -> None:
    """A plain question asks for a stream, for reasoning that can be handed back, and for nothing to be stored."""
    assert write(ask()) == {
        "model": "m",
        "input": [{"role": "user", "content": "Hi"}],
        "store": False,
        "stream": True,
        "include": ENCRYPTED,
    }


def test_all() -> None:
    """Every field that has a word has its word."""
    request = ask(
        max_tokens=50,
        temperature=0.0,
        top_p=0.5,
        tools=(Tool(name="f"), Tool(name="g", description="d", parameters={"type": "object"}, strict=True)),
        tool_choice=("tool", "g"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(name="n", schema={"type": "object"}, strict=True),
        reasoning_effort="low",
        user="u",
        metadata={"k": "v"},
    )
    assert write(request) == {
        "model": "m",
        "input": [{"role": "user", "content": "Hi"}],
        "store": False,
        "stream": True,
        "include": ENCRYPTED,
        "max_output_tokens": 50,
        "temperature": 0.0,
        "top_p": 0.5,
        "tools": [
            TOOL,
            {"type": "function", "name": "g", "description": "d", "parameters": {"type": "object"}, "strict": True},
        ],
        "tool_choice": {"type": "function", "name": "g"},
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "user": "u",
        "metadata": {"k": "v"},
    }


def test_the_sdks_types() -> None:
    """What is written fits the types of OpenAI's own SDK."""
    request = ask(
        *(user_message("Hi"), user_message("there")),
        max_tokens=50,
        tools=(Tool(name="f", parameters={"type": "object"}),),
        tool_choice="required",
        response_format=ResponseFormat(schema={"type": "object"}),
        reasoning_effort="high",
    )
    params: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsStreaming)
    assert params.validate_json(write_request(request, host="api.openai.com"))["tool_choice"] == "required"


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_tool_choice(choice: Any) -> None:
    """The plain choices are the same words."""
    assert write(ask(tool_choice=choice))["tool_choice"] == choice


def test_any_json() -> None:
    """JSON without a schema is `json_object`, and a schema without a name gets one, which the format demands."""
    assert write(ask(response_format=ResponseFormat()))["text"] == {"format": {"type": "json_object"}}
    assert write(ask(response_format=ResponseFormat(schema={})))["text"]["format"]["name"] == "answer"
    assert (
        write(ask(response_format=ResponseFormat(description="D", schema={})))["text"]["format"]["description"] == "D"
    )


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"reasoning_effort": "none"}, {"effort": "none"}),
        ({"reasoning_effort": "low", "extra": {"reasoning": {"summary": None}}}, {"effort": "low", "summary": None}),
        ({"extra": {"reasoning": {"summary": "detailed"}}}, {"summary": "detailed"}),
        ({"extra": {"reasoning": {"effort": "high", "mode": "pro"}}}, {"effort": "high", "mode": "pro"}),
    ],
)
def test_reasoning(fields: dict[str, Any], reasoning: Any) -> None:
    """A summary is asked for along with an effort, unless the client says otherwise."""
    assert write(ask(**fields))["reasoning"] == reasoning


@pytest.mark.parametrize(
    ("host", "model", "included"),
    [
        ("api.openai.com", "gpt-5-mini", True),
        ("api.openai.com", "o4-mini", True),
        ("eu.api.openai.com", "gpt-4.1", False),
        ("api.openai.com", "gpt-4o-mini", False),
        ("api.openai.com", "gpt-5-chat-latest", False),
        ("api.x.ai", "grok-4", True),
        ("127.0.0.1", "gpt-4o", True),
    ],
)
def test_encrypted_reasoning(host: str, model: str, included: bool) -> None:
    """Reasoning that can be handed back is asked for wherever that is not refused: OpenAI's plain models refuse it."""
    assert ("include" in write(ask(model=model), host)) is included


def test_extra() -> None:
    """Fields of the client's own are handed on, but change nothing that tailrace decides."""
    extra = {
        "service_tier": "flex",
        "truncation": "auto",
        "stream": False,
        "model": "other",
        "input": [],
        "store": True,
    }
    body = write(ask(extra=extra))
    assert (body["service_tier"], body["truncation"], body["store"]) == ("flex", "auto", True)
    assert (body["stream"], body["model"], body["input"]) == (True, "m", [{"role": "user", "content": "Hi"}])


def test_extra_in_the_words_of_chat_completions() -> None:
    """What chat completions say otherwise is translated, beside what is said in this format's own words."""
    extra = {"verbosity": "low", "logprobs": True, "top_logprobs": 2, "text": {"a": 1}, "include": ["x", *ENCRYPTED]}
    body = write(ask(extra=extra, response_format=ResponseFormat()))
    assert body["text"] == {"a": 1, "verbosity": "low", "format": {"type": "json_object"}}
    assert body["include"] == ["x", *ENCRYPTED, "message.output_text.logprobs"]
    assert body["top_logprobs"] == 2
    assert not {"verbosity", "logprobs"} & body.keys()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"stop": ("a",)}, "stop"),
        ({"seed": 0}, "seed"),
        ({"presence_penalty": 0.0}, "presence_penalty"),
        ({"frequency_penalty": 1.0}, "frequency_penalty"),
        ({"top_k": 5}, "top_k"),
        ({"extra": {"logit_bias": {}}}, "logit_bias"),
        ({"extra": {"prediction": {}}}, "prediction"),
    ],
)
def test_impossible(fields: dict[str, Any], field: str) -> None:
    """What the format has no word for is refused with its name, never dropped."""
    with pytest.raises(RequestError, match=f"has no (stop|{field})") as caught:
        write(ask(**fields))
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "unsupported", field)


@pytest.mark.parametrize(("field", "value"), [("text", "x"), ("reasoning", [1]), ("include", "x")])
def test_misshapen_extra(field: str, value: Any) -> None:
    """A field of the client's own that must be merged with ours and can't be is refused with its name."""
    with pytest.raises(RequestError, match="must be") as caught:
        write(ask(extra={field: value}))
    assert (caught.value.status, caught.value.field) == (400, field)


def test_broken_text() -> None:
    """Text that no JSON can carry is refused, not mangled."""
    with pytest.raises(RequestError, match="surrogate") as caught:
        write(ask(user_message("a\ud83d")))
    assert caught.value.status == 400
