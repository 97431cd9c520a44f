"""What a client of Anthropic's says reaches Anthropic as it was said."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.providers.anthropic.test_events import data, delta, reader, start
from tests.providers.reading import read_whole, recorded, written
from tests.providers.speaking import FORMATS, Sink, opened
from tests.upstream import ScriptedUpstream

from tailrace.dialects import ANTHROPIC, add_betas
from tailrace.errors import RequestError
from tailrace.events import Opaque
from tailrace.generation.parts import parts_of
from tailrace.providers.anthropic import AnthropicProvider
from tailrace.providers.anthropic.body import write_request
from tailrace.requests import ChatRequest, Message, Native, Part, Reasoning, Text, ToolResult, user_message

CACHED = {"cache_control": {"type": "ephemeral"}}
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
CITATION = {"type": "page_location", "cited_text": "3 pm", "document_index": 0}

EVERYTHING: dict[str, Any] = {
    "model": "m",
    "max_tokens": 2000,
    "system": [{"type": "text", "text": "Be brief.", **CACHED}, {"type": "text", "text": "Be kind."}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look!", **CACHED},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}, **CACHED},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
                    "transformations": {"oversized_image": "error"},
                },
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Tides."}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZGF0YQ=="},
                {"type": "text", "text": "High at three.", "citations": [CITATION]},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "tide"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "look",
                    "input": {"at": "it"},
                    "caller": {"type": "direct"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [
                        {"type": "text", "text": "Dark."},
                        {"type": "search_result", "source": "s", "title": "t", "content": []},
                    ],
                    "is_error": True,
                    **CACHED,
                }
            ],
        },
        {"role": "system", "content": [{"type": "text", "text": "It is night."}]},
        {"role": "user", "content": [{"type": "text", "text": "Well?"}]},
    ],
    "tools": [
        {"name": "look", "input_schema": SCHEMA, "description": "Looks.", "strict": True, **CACHED},
        {"name": "later", "input_schema": SCHEMA, "defer_loading": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        {"type": "bash_20250124", "name": "bash"},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "stop_sequences": ["###"],
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "metadata": {"user_id": "u"},
    "service_tier": "standard_only",
    "cache_control": {"type": "ephemeral"},
    "container": "c",
    "context_management": {"edits": []},
    "inference_geo": "us",
    "stream": True,
}


def sent(body: dict[str, Any]) -> Any:
    """What our upstream gets of a client's body."""
    request = ANTHROPIC.parse(json.dumps(body).encode()).request
    return written(write_request(request, default_max_tokens=4096))


def test_everything_reaches_anthropic_unchanged() -> None:
    """A body with every field and block goes to Anthropic as it came: marks, documents, signatures, tools, places."""
    assert sent(EVERYTHING) == EVERYTHING


@pytest.mark.parametrize("field", sorted(EVERYTHING.keys() - {"model", "messages", "max_tokens", "stream"}))
def test_nothing_is_added(field: str) -> None:
    """A body without a field goes on without it: no effort is made of a budget, no mark of nothing."""
    body = {name: value for name, value in EVERYTHING.items() if name != field}
    if field == "tools":
        del body["tool_choice"]
    assert sent(body) == body


def test_plain_text_is_a_block() -> None:
    """Text that stands alone is written as a block, which says the same; the system prompt stays a text."""
    assert sent({"max_tokens": 5, "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]}) == {
        "model": "",
        "max_tokens": 5,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }


def test_another_formats_words_are_not_written() -> None:
    """What is native to another format is refused where it is a part, and left out where it is a hint."""
    hinted = Text(text="Hi", native=Native(format="other", hints={"mark": 1}))
    said = written(write_request(ChatRequest(model="m", messages=(turn("user", hinted),)), default_max_tokens=5))
    assert said["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    foreign = Native(format="other", needs={"type": "x"})
    parts: tuple[Part, ...] = (foreign, ToolResult(id="a", content=(foreign,)))
    for part in parts:
        request = ChatRequest(model="m", messages=(turn("user", part),))
        with pytest.raises(RequestError, match="takes no native"):
            write_request(request, default_max_tokens=5)


def turn(role: Any, *parts: Part) -> Message:
    return Message(role=role, parts=parts)


async def test_beta_features_are_asked_for() -> None:
    """The client's `anthropic-beta` header goes on, unless the provider has one of its own; it is no field."""
    request = add_betas(
        ANTHROPIC.parse(b'{"max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}').request, "a-1, b-2"
    )
    wire = FORMATS["anthropic"]
    async with ScriptedUpstream(wire.answer(recorded("anthropic_text.sse"))) as upstream:
        headers: list[dict[str, str]] = [{}, {"anthropic-beta": "own"}]
        for configured in headers:
            async with opened(AnthropicProvider(name="up", base_url=upstream.url, headers=configured)) as provider:
                await provider.run(request, Sink())
                await provider.run(ChatRequest(model="m", messages=(user_message("Hi"),)), Sink())
        betas = [asked.headers.get("anthropic-beta") for asked in upstream.requests]
        assert betas == ["a-1, b-2", None, "own", "own"]
        assert all("anthropic-beta" not in msgspec.json.decode(asked.body) for asked in upstream.requests)


# Answers


def test_where_two_texts_meet() -> None:
    """A block of text that follows on another is told, as what is cited belongs to one of them."""
    second = start(1, type="text", text="", citations=[])
    events = read_whole(
        reader,
        data(
            start(0, type="text", text=""),
            delta(0, "text_delta", text="a"),
            second,
            delta(1, "text_delta", text="b"),
            start(2, type="tool_use", id="t", name="n"),
            start(3, type="text", text="c"),
        ),
    ).events
    opaque = [event for event in events if isinstance(event, Opaque)]
    assert [(event.kind, msgspec.json.decode(event.json)) for event in opaque] == [("text", second)]


def test_hidden_reasoning_is_kept_with_the_conversation() -> None:
    """What Anthropic does not show of its reasoning is a part of the kept answer, as its API wants it back."""
    events = read_whole(
        reader,
        data(
            start(0, type="redacted_thinking", data="ZGF0YQ=="),
            {"type": "content_block_stop", "index": 0},
            start(1, type="text", text="Hi"),
        ),
    ).events
    assert parts_of(events) == (Reasoning(text="", redacted="ZGF0YQ=="), Text(text="Hi"))
    assert parts_of([Opaque(kind="redacted_thinking", json=text) for text in ("", "{}", "\ud83d")]) == ()
