"""Anthropic's and Ollama's own clients before Anthropic's and Ollama's own upstreams: all goes through as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import msgspec
import ollama
import pytest
from tests.gateway import Gateway, gateway
from tests.providers.reading import recorded
from tests.reader import Answer
from tests.upstream import Script, ScriptedUpstream, Step, answer, chunk, chunked_head
from tests.vendor import as_payloads, chat_lines, message_events, names_in, write_events
from tests.web.test_pass_through import figures

from tailrace.providers.anthropic import AnthropicProvider
from tailrace.providers.http import HttpProvider
from tailrace.providers.ollama import OllamaProvider

HI: Any = {"role": "user", "content": "Hi"}
EVENTS = as_payloads(message_events())
LINES = as_payloads(chat_lines())


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One format, on both sides."""

    provider: Callable[..., HttpProvider]
    path: str
    media_type: str
    body: dict[str, Any]
    payloads: list[bytes]
    recordings: tuple[str, ...]

    def write(self, payloads: list[bytes]) -> bytes:
        if self.media_type == "text/event-stream":
            return write_events(payloads).removesuffix(b"data: [DONE]\n\n")
        return b"".join(payload + b"\n" for payload in payloads)

    def expect(self, payloads: list[bytes]) -> list[bytes]:
        """What a client gets of these: lines that are one line to everybody, and events to the byte."""
        if self.media_type == "text/event-stream":
            return payloads
        return [payload.replace("\u2028".encode(), b"\\u2028") for payload in payloads]

    def read(self, told: Answer) -> list[bytes]:
        if self.media_type == "text/event-stream":
            return [event.data.encode() for event in told.events]
        return told.body.split(b"\n")[:-1]


FORMATS = {
    "anthropic": Format(
        provider=AnthropicProvider,
        path="/v1/messages",
        media_type="text/event-stream",
        body={"max_tokens": 9, "messages": [HI]},
        payloads=EVENTS,
        recordings=("anthropic_text.sse", "anthropic_tools.sse", "anthropic_thinking.sse", "anthropic_search.sse"),
    ),
    "ollama": Format(
        provider=OllamaProvider,
        path="/api/chat",
        media_type="application/x-ndjson",
        body={"messages": [HI]},
        payloads=LINES,
        recordings=("ollama_text.ndjson", "ollama_tools.ndjson"),
    ),
}


@pytest.fixture(params=FORMATS)
def wire(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


@asynccontextmanager
async def relaying(wire: Format, body: bytes | Script) -> AsyncIterator[tuple[Gateway, ScriptedUpstream]]:
    """A gateway before an upstream of this format."""
    script = [answer(body, content_type=wire.media_type)] if isinstance(body, bytes) else body
    async with ScriptedUpstream(script) as upstream:
        provider = wire.provider(name="up", base_url=upstream.url)
        async with gateway(provider, default_model="up/m") as house:
            yield house, upstream


async def ask(house: Gateway, wire: Format, **fields: Any) -> Answer:
    return await house.ask("POST", wire.path, {**wire.body, **fields})


async def test_the_bytes_are_the_upstreams(wire: Format) -> None:
    """With every field of the vendor's types the client gets what the upstream sent, to the byte and to the end."""
    async with relaying(wire, wire.write(wire.payloads)) as (house, _):
        told = await ask(house, wire, stream=True)
    assert wire.read(told) == wire.expect(wire.payloads)


async def test_names_of_events() -> None:
    """Each frame of Anthropic's has the event that its type says, and an id of ours."""
    wire = FORMATS["anthropic"]
    async with relaying(wire, wire.write(wire.payloads)) as (house, _):
        told = await ask(house, wire, stream=True)
    assert [event.event for event in told.events] == [json.loads(payload)["type"] for payload in EVENTS]
    assert len({event.id for event in told.events}) == len(EVENTS)


async def test_reading_on() -> None:
    """Whoever comes back after any frame of Anthropic's gets exactly the rest."""
    wire = FORMATS["anthropic"]
    async with relaying(wire, wire.write(wire.payloads)) as (house, upstream):
        uncut = (await ask(house, wire, stream=True)).events
        for place in range(1, len(uncut), 13):
            cursor = {"last-event-id": uncut[place - 1].id}
            again = await house.ask("POST", wire.path, {**wire.body, "stream": True}, headers=cursor)
            assert again.events == uncut[place:]
        assert len(upstream.requests) == 1


async def test_a_cut_upstream(wire: Format) -> None:
    """An upstream that is cut ends in our error, after all that it sent."""
    said = [payload for payload in wire.payloads[:-1] if b'"message_delta"' not in payload]
    script: Script = [chunked_head(content_type=wire.media_type), chunk(wire.write(said)), Step.RESET]
    async with relaying(wire, script) as (house, _):
        *frames, error = wire.read(await ask(house, wire, stream=True))
    assert frames == wire.expect(said)
    assert "error" in json.loads(error)


@pytest.mark.parametrize(
    ("name", "recording"), [(name, recording) for name, wire in FORMATS.items() for recording in wire.recordings]
)
async def test_the_figures_are_the_same(name: str, recording: str) -> None:
    """The same answer costs the same, and is delivered the same, whether it passes through or is written anew."""
    wire = FORMATS[name]
    async with relaying(wire, recorded(recording)) as (house, _):
        await ask(house, wire, stream=True)
        await house.ask("POST", "/v1/chat/stream", {"messages": [HI]})
        through, anew = await house.settled(2)
    assert figures(through) == figures(anew)


async def test_in_any_format(wire: Format) -> None:
    """A reader of another format gets the text."""
    async with relaying(wire, recorded(wire.recordings[0])) as (house, _):
        stream_id = (await ask(house, wire, stream=True)).headers["x-tailrace-stream"]
        accept = {"accept": "text/event-stream"}
        delta = await house.ask("GET", f"/v1/streams/{stream_id}?format=delta", headers=accept)
        anew = await house.ask("POST", "/v1/chat/stream", {"messages": [HI]})
    assert delta.text == anew.text != ""


async def test_whole_lines() -> None:
    """A whole answer of Ollama's has all that its lines had, fields that nobody knows too."""
    wire = FORMATS["ollama"]
    async with relaying(wire, wire.write(LINES)) as (house, _):
        whole = (await ask(house, wire, stream=False)).json()
    assert names_in(chat_lines()) <= names_in(whole)
    assert whole["message"]["content"].startswith(" moretext")
    assert (whole["done"], whole["vendor"]) == (True, {"deep": [1.0, None]})


@pytest.mark.parametrize("name", FORMATS["anthropic"].recordings)
async def test_whole_messages(name: str) -> None:
    """A whole message is what Anthropic's own client makes of the stream."""
    wire = FORMATS["anthropic"]
    async with (
        relaying(wire, recorded(name)) as (house, _),
        anthropic.AsyncAnthropic(base_url=house.url, api_key="any text", max_retries=0) as client,
    ):
        async with client.messages.stream(model="up/m", max_tokens=9, messages=[HI]) as stream:
            streamed = await stream.get_final_message()
        whole = await client.messages.create(model="up/m", max_tokens=9, messages=[HI])
    assert whole.to_dict(exclude_none=True) == streamed.to_dict(exclude_none=True)


async def test_fields_of_tomorrow() -> None:
    """A whole message has the fields that nobody knows, of the message, its blocks, its deltas and its end."""
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "mood": 1, "usage": {"input_tokens": 1, "odd": [1]}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "A", "mood": 2}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "B"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "of_tomorrow", "said": "x", "more": [1]}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "of_tomorrow", "said": "y", "more": [2]}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}, "mood": 3},
        {"type": "message_stop"},
    ]
    wire = FORMATS["anthropic"]
    async with relaying(wire, wire.write(as_payloads(events))) as (house, _):
        whole = (await ask(house, wire)).json()
    assert whole == {
        "id": "msg_1",
        "mood": 3,
        "usage": {"input_tokens": 1, "odd": [1], "output_tokens": 2},
        "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "AB", "mood": 2, "said": "xy", "more": [1, 2]}],
    }


async def test_a_whole_document() -> None:
    """A message that came as one document goes out as the same document."""
    wire = FORMATS["anthropic"]
    document = recorded("anthropic_whole.json")
    async with relaying(wire, [answer(document, content_type="application/json")]) as (house, _):
        assert (await ask(house, wire)).body == document
        streamed = wire.read(await ask(house, wire, stream=True))
    assert json.loads(streamed[-1]) == {"type": "message_stop"}


async def test_ollamas_own_client() -> None:
    """Ollama's client reads the thinking, the calls and the figures of the upstream itself."""
    wire = FORMATS["ollama"]
    async with relaying(wire, recorded("ollama_tools.ndjson")) as (house, _):
        client = ollama.Client(host=house.url)
        parts = await asyncio.to_thread(lambda: list(client.chat("up/m", messages=[HI], stream=True)))
        whole = await asyncio.to_thread(lambda: client.chat("up/m", messages=[HI]))
        client._client.close()
    assert "".join(part.message.thinking or "" for part in parts) == whole.message.thinking == "I need the weather."
    assert [call.function.name for call in whole.message.tool_calls or ()] == ["get_weather", "get_time"]
    assert parts[-1].load_duration == whole.load_duration == 1334875


async def test_generate_is_another_format() -> None:
    """`/api/generate` has words of its own, which are written anew from a chat."""
    wire = FORMATS["ollama"]
    async with relaying(wire, recorded("ollama_text.ndjson")) as (house, _):
        told = await house.ask("POST", "/api/generate", {"model": "up/m", "prompt": "Hi"})
    lines = [json.loads(line) for line in wire.read(told)]
    assert all("response" in line and "message" not in line for line in lines)
