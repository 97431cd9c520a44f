"""The provider for the Responses API: what it sends, over a real socket, and what it lists."""

from __future__ import annotations

import msgspec
from tests.providers.reading import ask, recorded
from tests.providers.speaking import FORMATS, Sink, opened
from tests.upstream import ScriptedUpstream, answer, chunk

from tailrace.events import TextDelta
from tailrace.providers.openai_responses import OpenAIResponsesProvider


async def test_request() -> None:
    """The request goes below the base URL's path, with the key as a bearer token, and asks for a stream."""
    wire = FORMATS["openai_responses"]
    sink = Sink()
    async with ScriptedUpstream(wire.answer(recorded("openai_responses_text.sse"))) as upstream:
        async with opened(OpenAIResponsesProvider(name="up", base_url=upstream.url + "/v1/", api_key="k")) as provider:
            finish = await provider.run(ask(), sink)
        request = upstream.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "text/event-stream"
    assert msgspec.json.decode(request.body)["stream"] is True
    assert finish.reason == "stop"
    assert next(event.text for event in sink.events if isinstance(event, TextDelta)) == "Wheels"


async def test_models() -> None:
    """The models are those of `GET /models`; a server that wants no key gets none."""
    body = b'{"object": "list", "data": [{"id": "b", "object": "model"}, {"id": "a/c"}, {"id": null}, 7]}'
    async with ScriptedUpstream([answer(body)]) as upstream:
        async with opened(OpenAIResponsesProvider(name="up", base_url=upstream.url + "/v1")) as provider:
            assert await provider.models() == ["b", "a/c"]
        assert (upstream.requests[0].method, upstream.requests[0].target) == ("GET", "/v1/models")
        assert "authorization" not in upstream.requests[0].headers


async def test_whole_answer() -> None:
    """A server that answers with one JSON body where a stream was asked for is read to its end."""
    script = [answer(recorded("openai_responses_whole.json"), content_type="application/json")]
    sink = Sink()
    async with (
        ScriptedUpstream(script) as upstream,
        opened(OpenAIResponsesProvider(name="up", base_url=upstream.url)) as provider,
    ):
        finish = await provider.run(ask(), sink)
    assert [event.text for event in sink.events if isinstance(event, TextDelta)] == ["All at once."]
    assert finish.reason == "tool_calls"


async def test_a_long_end() -> None:
    """An end that repeats all of a long request is read from a real stream too."""
    wire = FORMATS["openai_responses"]
    end = {"type": "response.completed", "response": {"status": "completed", "instructions": "x" * (2 << 20)}}
    script = [wire.head(), chunk(wire.half), chunk(b"data: %b\n\n" % msgspec.json.encode(end)), chunk(b"")]
    async with (
        ScriptedUpstream(script) as upstream,
        opened(OpenAIResponsesProvider(name="up", base_url=upstream.url)) as provider,
    ):
        assert (await provider.run(ask(), Sink())).reason == "stop"
