"""What clients of one vendor say, and upstreams of another: told in common words, done without, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from tests.providers.reading import ask, written

from tailrace.dialects import ANTHROPIC
from tailrace.errors import RequestError
from tailrace.providers import refuse_foreign
from tailrace.providers.langchain.calls import Callee
from tailrace.providers.ollama.body import write_request as write_ollama
from tailrace.providers.openai.body import write_request as write_openai
from tailrace.providers.openai_responses.body import write_request as write_responses
from tailrace.requests import ChatRequest

Write: TypeAlias = Callable[[ChatRequest], Any]

TOOL: Final = {"name": "look", "input_schema": {"type": "object"}}
PNG: Final = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
MARK: Final = {"cache_control": {"type": "ephemeral"}}
ASK: Final = {"role": "user", "content": "Hi"}
KINDS: Final = ("openai", "openai_responses", "ollama", "langchain", "simulated", "mine")


def request_of(*messages: Any, **fields: Any) -> ChatRequest:
    """What Anthropic's clients ask for with this body."""
    body = {"model": "m", "max_tokens": 5000, "messages": messages or [ASK], **fields}
    return ANTHROPIC.parse(json.dumps(body).encode()).request


def write_chain(request: ChatRequest) -> Any:
    return Callee(FakeListChatModel(responses=[""]), name="m").prepare(request)


WRITERS: Final[dict[str, Write]] = {
    "openai": lambda request: written(write_openai(request, host="api.openai.com")),
    "compatible": lambda request: written(write_openai(request, host="127.0.0.1")),
    "ollama": lambda request: written(write_ollama(request)),
    "langchain": write_chain,
}


# Refused


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("messages", "fields", "what"),
    [
        ((), {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
        ((), {"tools": [{**TOOL, "defer_loading": True}]}, "defer_loading"),
        ((), {"container": "c"}, "container"),
        ((), {"output_config": {"effort": "low", "task_budget": 5}}, "output_config"),
        (({"role": "user", "content": [{"type": "document", "source": {}}]},), {}, "document"),
        (
            ({"role": "user", "content": [{"type": "image", "source": PNG, "transformations": {}}]},),
            {},
            "transformations",
        ),
        (
            (
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "search_result"}]}],
                },
            ),
            {},
            "search_result",
        ),
    ],
)
def test_what_others_lack_is_refused(kind: str, messages: Any, fields: dict[str, Any], what: str) -> None:
    """A tool, a block or a field that only Anthropic has is a 400 that names it, whoever else is asked."""
    request = request_of(*messages, **fields)
    with pytest.raises(RequestError, match=f"{what} is understood by upstreams of the kind anthropic alone") as caught:
        refuse_foreign(request, kind)
    assert (caught.value.status, caught.value.field) == (400, what)
    refuse_foreign(request, "anthropic")


@pytest.mark.parametrize("kind", KINDS)
def test_what_others_can_do_without_is_not_refused(kind: str) -> None:
    """Where to cache, who called, what was cited and how Anthropic bills it stop nobody."""
    call = {"type": "tool_use", "id": "a", "name": "look", "input": {}, "caller": {"type": "direct"}}
    refuse_foreign(
        request_of(
            {"role": "user", "content": [{"type": "text", "text": "Hi", **MARK}]},
            {"role": "assistant", "content": [{"type": "text", "text": "So.", "citations": [{}]}, call]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", **MARK}]},
            tools=[{**TOOL, **MARK, "eager_input_streaming": True}],
            metadata={"user_id": "u"},
            service_tier="auto",
            thinking={"type": "adaptive"},
            **MARK,
        ),
        kind,
    )


@pytest.mark.parametrize(
    ("writer", "fields", "field"),
    [
        ("openai", {"top_k": 5}, "top_k"),
        ("langchain", {"top_k": 5}, "top_k"),
        ("langchain", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "reasoning_effort"),
        ("langchain", {"output_format": {"type": "json_schema", "schema": {}}}, "response_format"),
        ("ollama", {"output_config": {"effort": "xhigh"}}, "reasoning_effort"),
        ("ollama", {"tools": [TOOL], "tool_choice": {"type": "any"}}, "tool_choice"),
        (
            "ollama",
            {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            "parallel_tool_calls",
        ),
    ],
)
def test_common_words_that_an_upstream_lacks(writer: str, fields: dict[str, Any], field: str) -> None:
    """A common word is refused by each upstream that can't do it, and named."""
    with pytest.raises(RequestError) as caught:
        WRITERS[writer](request_of(**fields))
    assert (caught.value.status, caught.value.field) == (400, field)


@pytest.mark.parametrize("writer", ["ollama", "langchain"])
def test_addresses_where_bytes_are_wanted(writer: str) -> None:
    """Nothing is fetched for an upstream that wants an image's bytes."""
    picture = {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a.example/"}}]}
    with pytest.raises(RequestError, match=r"(?i)url"):
        WRITERS[writer](request_of(picture))


# Honoured


def test_top_k() -> None:
    """Servers like OpenAI's take it as vLLM does, Ollama among its options."""
    request = request_of(top_k=5)
    assert WRITERS["compatible"](request)["top_k"] == 5
    assert WRITERS["ollama"](request)["options"]["top_k"] == 5
    with pytest.raises(RequestError, match="top_k"):
        write_responses(request, host="127.0.0.1")


def test_a_conversation_crosses_over() -> None:
    """Prompt, picture, calls, results and an answer by schema reach an OpenAI upstream in its own words."""
    schema = {"type": "object", "properties": {}}
    body = WRITERS["openai"](
        request_of(
            {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image", "source": PNG}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "ZA=="},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "a", "name": "look", "input": {"at": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": "Dark.", "is_error": True},
                    {"type": "text", "text": "Well?"},
                ],
            },
            system=[{"type": "text", "text": "Be brief.", **MARK}],
            tools=[TOOL],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
            stop_sequences=["#"],
            output_config={"format": {"type": "json_schema", "schema": schema}},
            thinking={"type": "enabled", "budget_tokens": 1024},
            metadata={"user_id": "u"},
        )
    )
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "See"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                ],
            },
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}],
            },
            {"role": "tool", "tool_call_id": "a", "content": "Error: Dark."},
            {"role": "user", "content": "Well?"},
        ],
        "max_tokens": 5000,
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["#"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
        "reasoning_effort": "low",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_hidden_reasoning_is_nobody_elses() -> None:
    """Reasoning that Anthropic alone can read is left out for others, as their formats have no place for it."""
    hidden = {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "ZA=="}]}
    for writer in ("openai", "ollama"):
        said = WRITERS[writer](request_of(ASK, hidden))
        assert said["messages"][1] == {"role": "assistant", "content": ""}


def test_a_plain_request_is_nobodys() -> None:
    """A request in common words alone is refused by none."""
    for kind in (*KINDS, "anthropic"):
        refuse_foreign(ask(), kind)
