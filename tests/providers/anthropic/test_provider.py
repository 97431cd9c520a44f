"""The provider for Anthropic's API: what it sends, over a real socket, and what it lists."""

from __future__ import annotations

import msgspec
from tests.providers.reading import ask, recorded
from tests.providers.speaking import FORMATS, Sink, opened
from tests.upstream import ScriptedUpstream, answer

from tailrace.events import TextDelta
from tailrace.providers.anthropic import AnthropicProvider


async def test_request() -> None:
    """The request carries the API's version and the key in a header of its own, and the limit that it must have."""
    wire = FORMATS["anthropic"]
    sink = Sink()
    async with ScriptedUpstream(wire.answer(recorded("anthropic_text.sse"))) as upstream:
        provider = AnthropicProvider(name="up", base_url=upstream.url, api_key="k", default_max_tokens=77)
        async with opened(provider):
            finish = await provider.run(ask(), sink)
        request = upstream.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/messages")
    assert request.headers["x-api-key"] == "k"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert msgspec.json.decode(request.body)["max_tokens"] == 77
    assert finish.stop_sequence == "\n\nHuman:"
    assert next(event.text for event in sink.events if isinstance(event, TextDelta)) == "Water"


async def test_models() -> None:
    """The models are those of `GET /v1/models`, all on one page."""
    body = (
        b'{"data": [{"type": "model", "id": "claude-a", "display_name": "A"}, {"id": "claude-b"}], "has_more": false}'
    )
    async with ScriptedUpstream([answer(body)]) as upstream:
        async with opened(AnthropicProvider(name="up", base_url=upstream.url, api_key="k")) as provider:
            assert await provider.models() == ["claude-a", "claude-b"]
        assert (upstream.requests[0].method, upstream.requests[0].target) == ("GET", "/v1/models?limit=1000")


async def test_whole_answer() -> None:
    """A server that answers with one JSON body where a stream was asked for is read to its end."""
    script = [answer(recorded("anthropic_whole.json"), content_type="application/json")]
    sink = Sink()
    async with (
        ScriptedUpstream(script) as upstream,
        opened(AnthropicProvider(name="up", base_url=upstream.url)) as provider,
    ):
        finish = await provider.run(ask(), sink)
    assert [event.text for event in sink.events if isinstance(event, TextDelta)] == ["At once."]
    assert finish.reason == "tool_calls"
