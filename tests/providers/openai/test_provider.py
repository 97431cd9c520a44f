"""The provider for OpenAI-compatible upstreams: what it sends, over a real socket, and what it lists."""

from __future__ import annotations

import msgspec
from tests.providers.reading import ask, recorded
from tests.providers.speaking import FORMATS, Sink, opened
from tests.upstream import ScriptedUpstream, answer

from tailrace.events import TextDelta
from tailrace.providers.openai import OpenAIProvider


async def test_request() -> None:
    """The request goes below the base URL's path, with the key as a bearer token, and asks for a stream."""
    wire = FORMATS["openai"]
    sink = Sink()
    async with ScriptedUpstream(wire.answer(recorded("openai_text.sse"))) as upstream:
        async with opened(OpenAIProvider(name="up", base_url=upstream.url + "/v1/", api_key="k")) as provider:
            finish = await provider.run(ask(), sink)
        request = upstream.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "text/event-stream"
    assert msgspec.json.decode(request.body)["stream"] is True
    assert finish.reason == "stop"
    assert next(event.text for event in sink.events if isinstance(event, TextDelta)) == "Wheels"


async def test_without_a_key() -> None:
    """A server that wants no key gets none."""
    async with ScriptedUpstream([answer(b'{"data": []}')]) as upstream:
        async with opened(OpenAIProvider(name="up", base_url=upstream.url)) as provider:
            await provider.models()
        assert "authorization" not in upstream.requests[0].headers


async def test_models() -> None:
    """The models are those of `GET /models`, in the upstream's order; entries without a name are passed over."""
    body = b'{"object": "list", "data": [{"id": "b", "object": "model"}, {"id": "a/c"}, {"id": null}, 7]}'
    async with ScriptedUpstream([answer(body)]) as upstream:
        async with opened(OpenAIProvider(name="up", base_url=upstream.url + "/v1", api_key="k")) as provider:
            assert await provider.models() == ["b", "a/c"]
        assert (upstream.requests[0].method, upstream.requests[0].target) == ("GET", "/v1/models")


async def test_whole_answer() -> None:
    """A server that answers with one JSON body where a stream was asked for is read to its end."""
    script = [answer(recorded("openai_whole.json"), content_type="application/json")]
    sink = Sink()
    async with (
        ScriptedUpstream(script) as upstream,
        opened(OpenAIProvider(name="up", base_url=upstream.url)) as provider,
    ):
        finish = await provider.run(ask(), sink)
    assert [event.text for event in sink.events if isinstance(event, TextDelta)] == ["All at once."]
    assert finish.reason == "tool_calls"


async def test_ids_differ_between_answers() -> None:
    """Calls that come without an id get one that no other answer has given."""
    call = b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f"}}]},"finish_reason":"tool_calls"}]}\n\n'
    sink = Sink()
    async with (
        ScriptedUpstream(FORMATS["openai"].answer(call)) as upstream,
        opened(OpenAIProvider(name="up", base_url=upstream.url)) as provider,
    ):
        for _ in range(2):
            await provider.run(ask(), sink)
    ids = {event.id for event in sink.events if hasattr(event, "id")}
    assert len(ids) == 2
