"""Requests in the client's own words, for an upstream of the client's format."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tailrace.dialects import OPENAI_CHAT
from tailrace.providers.openai.verbatim import write_verbatim
from tailrace.requests import ChatRequest, Message, Native, Text, ToolCall, user_message

ASK = {"role": "user", "content": "Hi"}


def parsed(body: bytes) -> ChatRequest:
    return OPENAI_CHAT.parse(body).request


def written(request: ChatRequest, host: str = "example.com") -> Any:
    assert request.verbatim is not None
    return json.loads(write_verbatim(request, request.verbatim, host=host))


def handed_on(host: str = "example.com", **fields: Any) -> Any:
    """What goes upstream of a body with these fields."""
    return written(parsed(json.dumps({"model": "asked", "messages": [ASK], **fields}).encode()), host)


def replaced(request: ChatRequest, **fields: Any) -> ChatRequest:
    return msgspec.structs.replace(request, **fields)


FIELDS: dict[str, Any] = {
    "n": 3,
    "logprobs": True,
    "top_logprobs": 5,
    "logit_bias": {"50256": -100},
    "service_tier": "flex",
    "store": True,
    "prompt_cache_key": "k",
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
    "verbosity": "low",
    "functions": [{"name": "look"}],
    "function_call": "auto",
    "tools": [{"type": "custom", "custom": {"name": "x"}}, {"type": "function", "function": {"name": "f", "mood": 1}}],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
    "response_format": {"type": "grammar", "grammar": "x"},
    "max_completion_tokens": 5,
    "temperature": 1.0,
    "nothing": None,
    "vendor": {"deep": [1, {"x": 2.50}]},
}


def test_every_field_goes_on() -> None:
    """All that is said goes upstream as it was said, the model and the way it streams aside."""
    streaming = {"stream": True, "stream_options": {"include_usage": True}}
    assert handed_on(**FIELDS) == {"model": "asked", "messages": [ASK], **FIELDS, **streaming}


def test_to_the_byte() -> None:
    """Numbers and spaces stay as the client wrote them."""
    body = b'{"temperature":1.00,"big":123456789012345678901234567890,"messages":[{"role":"user", "content":"Hi"}]}'
    request = parsed(body)
    assert request.verbatim is not None
    sent = write_verbatim(request, request.verbatim, host="example.com")
    assert b'"temperature":1.00,' in sent
    assert b'"big":123456789012345678901234567890,' in sent
    assert b'"messages":[{"role":"user", "content":"Hi"}]' in sent


def test_the_upstreams_own_name_of_the_model() -> None:
    """The model is the one that was chosen, by the upstream's name."""
    assert (
        written(replaced(parsed(b'{"model":"openai/x","messages":[{"role":"user","content":"Hi"}]}'), model="x"))[
            "model"
        ]
        == "x"
    )


@pytest.mark.parametrize("field", ["session_id", "on_disconnect"])
def test_what_is_said_to_tailrace(field: str) -> None:
    """tailrace's own fields never go upstream."""
    assert field not in handed_on(**{field: "continue"})


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {"include_usage": True}),
        ({"stream": False}, {"include_usage": True}),
        ({"stream": True, "stream_options": None}, {"include_usage": True}),
        (
            {"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": False}},
            {"include_usage": True, "include_obfuscation": False},
        ),
    ],
)
def test_always_a_stream_with_usage(fields: dict[str, Any], options: dict[str, Any]) -> None:
    """The upstream streams whether the client wants that or not, and is always asked for usage."""
    sent = handed_on(**fields)
    assert (sent["stream"], sent["stream_options"]) == (True, options)


def test_audio_comes_whole() -> None:
    """Audio that the client wants whole is asked for whole, since most of its formats can't be streamed."""
    audio: dict[str, Any] = {"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "wav"}}
    assert handed_on(**audio)["stream"] is False
    assert "stream_options" not in handed_on(**audio)
    assert handed_on(**audio, stream=True)["stream"] is True


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({}, {"max_tokens": 9}),
        ({"max_tokens": None}, {"max_tokens": 9}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, {"max_completion_tokens": 5}),
    ],
)
def test_the_settings_limit(fields: dict[str, Any], limits: dict[str, int]) -> None:
    """The limit of the settings is added where the client has none, and only there."""
    request = parsed(json.dumps({"messages": [ASK], **fields}).encode())
    sent = written(replaced(request, max_tokens=request.max_tokens or 9))
    assert {name: value for name, value in sent.items() if name.startswith("max_")} == limits


@pytest.mark.parametrize(
    ("host", "model", "said", "sent"),
    [
        ("api.openai.com", "gpt-5", "max_tokens", "max_completion_tokens"),
        ("api.openai.com", "gpt-4o", "max_tokens", "max_tokens"),
        ("api.openai.com", "gpt-4o", "max_completion_tokens", "max_completion_tokens"),
        ("api.groq.com", "gpt-5", "max_tokens", "max_tokens"),
        ("api.groq.com", "x", "max_completion_tokens", "max_completion_tokens"),
        ("api.deepseek.com", "x", "max_completion_tokens", "max_tokens"),
    ],
)
def test_the_limits_name(host: str, model: str, said: str, sent: str) -> None:
    """The client's limit goes by its own name, but to servers that would refuse it or pass over it."""
    written = handed_on(host, **{said: 5}, model=model)
    assert {name: value for name, value in written.items() if name.startswith("max_")} == {sent: 5}


def test_earlier_turns_of_a_session() -> None:
    """What a session kept is written anew, around the client's own turns as they came."""
    request = parsed(json.dumps({"messages": [{**ASK, "mood": "good"}]}).encode())
    earlier = (
        user_message("Before"),
        Message(
            role="assistant",
            parts=(ToolCall(id="c", name="x", arguments="", native=Native(format="openai", needs={"type": "custom"})),),
        ),
        Message(role="assistant", parts=(Text(text="So"), Native(format="openai", needs={"audio": {"id": "a"}}))),
        Message(role="user", parts=(Native(format="openai", needs={"type": "input_audio", "input_audio": {}}),)),
        Message(role="tool", parts=(Native(format="openai", needs={"function": {"role": "function", "name": "f"}}),)),
    )
    assert written(replaced(request, messages=(*earlier, *request.messages)))["messages"] == [
        {"role": "user", "content": "Before"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "custom"}]},
        {"role": "assistant", "content": "So", "audio": {"id": "a"}},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "function", "name": "f"},
        {**ASK, "mood": "good"},
    ]
