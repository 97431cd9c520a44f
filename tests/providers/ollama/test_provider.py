"""The provider for Ollama's API: what it sends, over a real socket, and what it lists."""

from __future__ import annotations

import msgspec
import pytest
from tests.providers.reading import ask, recorded
from tests.providers.speaking import Sink, opened
from tests.upstream import ScriptedUpstream, answer

from tailrace.events import TextDelta
from tailrace.providers.ollama import OllamaProvider


@pytest.mark.parametrize(
    "content_type", ["application/x-ndjson", "application/json; charset=utf-8", "application/jsonl"]
)
async def test_request(content_type: str) -> None:
    """The request goes to the chat API and its lines are read, by whichever name the server calls them."""
    sink = Sink()
    script = [answer(recorded("ollama_text.ndjson"), content_type=content_type)]
    async with ScriptedUpstream(script) as upstream:
        async with opened(OllamaProvider(name="up", base_url=upstream.url)) as provider:
            finish = await provider.run(ask(), sink)
        request = upstream.requests[0]
    assert (request.method, request.target) == ("POST", "/api/chat")
    assert request.headers["accept"] == "application/x-ndjson"
    assert "authorization" not in request.headers
    assert msgspec.json.decode(request.body)["stream"] is True
    assert finish.reason == "stop"
    assert next(event.text for event in sink.events if isinstance(event, TextDelta)) == "The"


async def test_models() -> None:
    """The models are those of `GET /api/tags`; a key, for a server that wants one, is a bearer token."""
    body = b'{"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest"}, {"name": "qwen3:4b"}]}'
    async with ScriptedUpstream([answer(body)]) as upstream:
        async with opened(OllamaProvider(name="up", base_url=upstream.url, api_key="k")) as provider:
            assert await provider.models() == ["llama3.2:latest", "qwen3:4b"]
        request = upstream.requests[0]
    assert (request.method, request.target) == ("GET", "/api/tags")
    assert request.headers["authorization"] == "Bearer k"
