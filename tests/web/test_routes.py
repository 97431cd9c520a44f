"""Each endpoint that answers: its format, its headers, and who decides what happens when its reader leaves."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.reader import Answer, Reader, ask
from tests.server import serving
from tests.upstream import ScriptedUpstream, chunk, chunked_head
from tests.waiting import until
from tests.web.tapped import house

from tailrace import Settings, create_app
from tailrace.settings import OnDisconnect, ProviderSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

MODEL = "simulated/n3-d1"
BODY = {"message": "Hi", "model": MODEL}
QUERY = f"message=Hi&model={MODEL}"
BARE = [{"role": "user", "content": "Hi"}]

STREAMS: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/chat/stream", BODY, "delta"),
    ("POST", "/api/v1/chat/stream", BODY, "delta"),
    ("POST", "/api/chat/stream", BODY, "delta"),
    ("POST", "/v1/chat", {**BODY, "stream": True}, "delta"),
    ("GET", f"/v1/chat?{QUERY}", None, "delta"),
    ("GET", f"/api/v1/chat?{QUERY}", None, "delta"),
    ("GET", f"/api/chat?{QUERY}", None, "delta"),
    ("POST", "/chat/stream", BODY, "token"),
    ("POST", f"/chat/stream?model={MODEL}", BARE, "raw"),
    ("GET", f"/chat/stream?{QUERY}", None, "raw"),
    ("GET", "/chat/stream?message=Hi&backend=simulated", None, "raw"),
    ("POST", "/chat/stream-meta", BODY, "meta"),
]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server of the simulated model, as `tailrace serve` wires it."""
    async with serving(create_app()) as url:
        yield url


def shape_of(answer: Answer) -> str:
    """The format of a stream, told by its frames alone."""
    kinds = [event.event for event in answer.events]
    first, last = answer.events[0].data, answer.events[-1].data
    match kinds[0], kinds[-1]:
        case "message", "message" if last == "[DONE]" and set(json.loads(first)) >= {"delta", "chunk_index", "done"}:
            return "delta"
        case "message", "message" if json.loads(first)["event"] == "start" and json.loads(last)["event"] == "done":
            return "meta"
        case "token", "done" if kinds[-2] == "usage":
            return "token" if first.startswith("{") else "raw"
    raise AssertionError(answer.body.decode())


@pytest.mark.parametrize(("method", "target", "body", "form"), STREAMS, ids=[f"{m} {t}" for m, t, _, _ in STREAMS])
async def test_each_endpoint_streams_its_format(url: str, method: str, target: str, body: Any, form: str) -> None:
    """Every streaming endpoint answers in its format, with the streaming headers, each frame with its id."""
    answer = await ask(url, method, target, body)
    assert answer.status == 200
    assert shape_of(answer) == form
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-store, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    stream = answer.headers["x-tailrace-stream"]
    assert re.fullmatch(r"gen_[0-9a-f]{24}", stream)
    assert re.fullmatch(r"req_[0-9a-f]{16}", answer.headers["x-request-id"])
    assert "content-length" not in answer.headers
    places = [event.id.removeprefix(f"{stream}.") for event in answer.events]
    assert all(re.fullmatch(r"\d+(\.\d+)?", place) for place in places)
    assert len(set(places)) == len(places)
    assert (answer.body.startswith(f"id: {stream}.0\n\n".encode())) == (method == "GET")


@pytest.mark.parametrize("body", [BODY, {**BODY, "stream": False}])
async def test_a_whole_answer_is_one_json(url: str, body: Any) -> None:
    """`POST /v1/chat` answers in one JSON unless `stream` is true; it names its stream too."""
    answer = await ask(url, "POST", "/v1/chat", body)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    whole = answer.json()
    assert whole["id"] == answer.headers["x-tailrace-stream"]
    assert (whole["model"], whole["finish_reason"]) == (MODEL, "stop")
    assert whole["usage"] == {"input_tokens": 1, "output_tokens": 3, "reasoning_tokens": 0, "source": "reported"}
    streamed = await ask(url, "POST", "/v1/chat", {**BODY, "stream": True})
    assert whole["text"] == streamed.text != ""


async def test_a_streaming_route_can_answer_whole(url: str) -> None:
    """`stream: false` is honoured where streaming is the default."""
    answer = await ask(url, "POST", "/v1/chat/stream", {**BODY, "stream": False})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["finish_reason"] == "stop"


async def test_the_vendors_routes_ask_their_provider() -> None:
    """`/anthropic/stream` and `/langchain/stream` stream `token` from their provider and its default model."""
    said: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "claude-x", "usage": {"input_tokens": 5, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Bonjour"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    frames = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in said)
    async with ScriptedUpstream([chunked_head() + chunk(frames.encode()) + chunk(b"")]) as upstream:
        providers = {
            "anthropic": ProviderSettings(kind="anthropic", base_url=upstream.url, default_model="claude-x"),
            "langchain": ProviderSettings(kind="langchain", target="tests.web.runnables:parrot"),
        }
        async with serving(create_app(Settings(providers=providers))) as url:
            claude = await ask(url, "POST", "/anthropic/stream", {"message": "Hi"})
            parrot = await ask(url, "POST", "/langchain/stream", {"message": "Hi"})
    assert (shape_of(claude), claude.text) == ("token", "Bonjour")
    assert json.loads(upstream.requests[0].body)["model"] == "claude-x"
    assert (shape_of(parrot), parrot.text) == ("token", "Polly wants")


async def test_what_never_goes_upstream() -> None:
    """The upstream is asked for what the client said of the answer, and nothing that is between the client and us."""
    answer = chunk(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n') + chunk(b"")
    async with ScriptedUpstream([chunked_head() + answer]) as upstream:
        settings = Settings(providers={"up": ProviderSettings(kind="openai", base_url=upstream.url)})
        async with serving(create_app(settings)) as url:
            body = {"message": "Hi", "model": "up/m", "system": "Be brief", "max_tokens": 7, "stop": "x", "seed": 3}
            await ask(url, "POST", "/v1/chat/stream", {**body, "on_disconnect": "continue", "session_id": "s"})
    sent = json.loads(upstream.requests[0].body)
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["model"] == "m"
    assert 7 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    assert sent["seed"] == 3
    assert not {"on_disconnect", "session_id", "message", "system"} & set(sent)
    assert not [name for name in upstream.requests[0].headers if name.startswith("x-tailrace")]


POLICIES: list[tuple[str, str, Any, str | None, OnDisconnect | None, bool]] = [
    ("POST's own default is cancel", "/v1/chat/stream", {}, None, None, True),
    ("the setting holds", "/v1/chat/stream", {}, None, "continue", False),
    ("the header beats the setting", "/v1/chat/stream", {}, "continue", "cancel", False),
    ("the body beats the header", "/v1/chat/stream", {"on_disconnect": "cancel"}, "continue", "continue", True),
    ("the body's grace", "/v1/chat/stream", {"on_disconnect": 30}, "cancel", None, False),
    ("the header's grace", "/v1/chat/stream", {}, "30", None, False),
    ("a GET's own default is grace", "/v1/chat?message=Hi", None, None, None, False),
    ("the query beats the header", "/v1/chat?message=Hi&on_disconnect=cancel", None, "continue", None, True),
    ("the header on a GET", "/v1/chat?message=Hi", None, "cancel", None, True),
    ("the query of bare messages", "/chat/stream?on_disconnect=continue", BARE, "cancel", "cancel", False),
    ("a whole answer", "/v1/chat", {}, None, None, True),
]


@pytest.mark.parametrize(
    ("target", "body", "header", "setting", "cancels"), [case[1:] for case in POLICIES], ids=[c[0] for c in POLICIES]
)
async def test_who_decides_what_leaving_means(
    target: str, body: Any, header: str | None, setting: OnDisconnect | None, cancels: bool
) -> None:
    """Body or query, then header, then setting, then what suits the method decide whether leaving cancels."""
    headers = {} if header is None else {"X-Tailrace-On-Disconnect": header}
    content = {"message": "Hi", **body} if isinstance(body, dict) else body
    async with house(on_disconnect=setting) as server, Reader(server.url) as reader:
        await reader.ask("GET" if content is None else "POST", target, content, headers=headers)
        run = await server.tap.asked()
        reader.leave()
        await until(lambda: server.viewers == 0)
        if cancels:
            await until(lambda: run.cancelled)
        else:
            run.say("still here")
            run.finish()
            await until(lambda: run.over)
            assert not run.cancelled


async def test_the_grace_of_an_event_source_ends() -> None:
    """Ten seconds after an EventSource's reader left, nobody having come back, its upstream is stopped."""
    async with house() as server, Reader(server.url) as reader:
        await reader.ask("GET", "/v1/chat?message=Hi")
        run = await server.tap.asked()
        reader.leave()
        await until(lambda: server.viewers == 0)
        (generation,) = server.tailrace.generations.running()
        generation.tick(asyncio.get_running_loop().time() + 9)
        assert generation.task.cancelling() == 0
        generation.tick(asyncio.get_running_loop().time() + 11)
        await until(lambda: run.cancelled)
