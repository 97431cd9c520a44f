"""A client and an upstream that speak the same format: all goes through as it is, and all is known of it as ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionUserMessageParam
from tests.gateway import Gateway, gateway
from tests.providers.reading import recorded
from tests.reader import Answer, Reader
from tests.tap import Tap
from tests.upstream import Script, ScriptedUpstream, Scripts, Step, answer, chunk, chunked_head, in_turn
from tests.vendor import as_payloads, chat_chunks, usage_chunk, write_events

from tailrace.errors import UpstreamError
from tailrace.ledger import Row
from tailrace.providers import Provider
from tailrace.providers.openai import OpenAIProvider
from tailrace.settings import ModelSettings

COMPLETIONS = "/v1/chat/completions"
QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": "Why do rivers meander?"}
PAYLOADS = as_payloads([*chat_chunks(), usage_chunk()])


def events_of(body: bytes) -> list[bytes]:
    """A script that answers with these bytes as an event stream."""
    return [answer(body, content_type="text/event-stream")]


@asynccontextmanager
async def relaying(
    script: Scripts, *others: Provider, model: str = "up/m", **settings: Any
) -> AsyncIterator[tuple[Gateway, ScriptedUpstream]]:
    """A gateway before an upstream of OpenAI's format, which is its default."""
    async with ScriptedUpstream(script) as upstream:
        provider = OpenAIProvider(name="up", base_url=f"{upstream.url}/v1")
        async with gateway(provider, *others, **{"default_model": model, **settings}) as house:
            yield house, upstream


async def complete(house: Gateway, **fields: Any) -> Answer:
    """One whole chat completion."""
    return await house.ask("POST", COMPLETIONS, {"messages": [QUESTION], **fields})


def data_of(told: Answer) -> list[bytes]:
    return [event.data.encode() for event in told.events]


def sent_to(upstream: ScriptedUpstream, number: int = 0) -> Any:
    return json.loads(upstream.requests[number].body)


def figures(row: Row) -> dict[str, Any]:
    """What a row says of the answer and not of its moment."""
    names = (
        "status",
        "reason",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "source",
        "delivered_tokens",
        "model",
    )
    return {name: getattr(row, name) for name in names}


# Bytes


async def test_the_bytes_are_the_upstreams() -> None:
    """With every field of the vendor's types: the client gets the upstream's data, ids of ours, and `[DONE]`."""
    async with relaying(events_of(write_events(PAYLOADS))) as (house, _):
        told = await complete(house, stream=True, stream_options={"include_usage": True})
    assert data_of(told) == [*PAYLOADS, b"[DONE]"]
    assert {event.id.partition(".")[0] for event in told.events} == {told.headers["x-tailrace-stream"]}


async def test_each_frame_as_it_comes() -> None:
    """Frames pass one by one in reads of any size, and usage that was not asked for does not."""
    body = write_events(PAYLOADS)
    pieces = [chunk(body[at : at + 777]) for at in range(0, len(body), 777)]
    async with relaying([chunked_head(), *pieces, chunk(b"")]) as (house, _):
        told = await complete(house, stream=True)
    assert data_of(told) == [*PAYLOADS[:-1], b"[DONE]"]


async def test_the_request_is_the_clients() -> None:
    """Fields that nobody here knows, and those that no other format has, reach the upstream as they are."""
    fields: dict[str, Any] = {
        "n": 3,
        "logprobs": True,
        "prediction": {"type": "content", "content": "x"},
        "vendor": {"a": [1.5]},
    }
    sound = {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}}
    messages = [{"role": "user", "content": [sound], "mood": "good"}]
    async with relaying(events_of(write_events(PAYLOADS)), max_tokens=77) as (house, upstream):
        await complete(house, messages=messages, stream=True, on_disconnect=5, **fields)
        streaming = {"stream": True, "stream_options": {"include_usage": True}}
        assert sent_to(upstream) == {"model": "m", "messages": messages, "max_tokens": 77, **fields, **streaming}


async def test_reading_on() -> None:
    """Whoever comes back after any frame, to the same route or to the stream's own, gets exactly the rest."""
    async with relaying(events_of(write_events(PAYLOADS))) as (house, upstream):
        uncut = (await complete(house, stream=True)).events
        for place in range(1, len(uncut), 5):
            cursor = {"last-event-id": uncut[place - 1].id}
            again = await house.ask("POST", COMPLETIONS, {"messages": [QUESTION], "stream": True}, headers=cursor)
            assert again.events == uncut[place:]
        stream_id = uncut[0].id.partition(".")[0]
        accept = {"accept": "text/event-stream"}
        assert (await house.ask("GET", f"/v1/streams/{stream_id}", headers=accept)).events == uncut
        assert len(upstream.requests) == 1


async def test_a_cut_upstream() -> None:
    """An upstream that is cut in the middle ends in our error and without `[DONE]`, after all that it sent."""
    body = write_events(PAYLOADS[:9]).removesuffix(b"data: [DONE]\n\n")
    async with relaying([chunked_head(), chunk(body), Step.RESET]) as (house, _):
        told = await complete(house, stream=True)
    *frames, error = data_of(told)
    assert frames == PAYLOADS[:9]
    assert json.loads(error)["error"]["code"] == "upstream_cut"


# Whole answers


async def test_whole_answers_have_all() -> None:
    """Without `stream` the upstream streams to us all the same, and the answer has what its frames had."""
    async with relaying(events_of(recorded("openai_two_choices.sse"))) as (house, upstream):
        told = await complete(house, n=2, logprobs=True)
        assert sent_to(upstream)["stream"] is True
    completion = ChatCompletion.model_validate_json(told.body, strict=True)
    assert [choice.message.content for choice in completion.choices] == ["Yes", "No never"]
    assert [choice.finish_reason for choice in completion.choices] == ["stop", "length"]
    assert [choice.logprobs and len(choice.logprobs.content or ()) for choice in completion.choices] == [1, 1]
    assert (completion.service_tier, completion.system_fingerprint) == ("default", "fp_06737a9306")
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.completion_tokens_details.accepted_prediction_tokens == 0


async def test_whole_audio() -> None:
    """Audio for a client that wants it whole comes as one document, whose bytes are the upstream's."""
    choice = b'{"index":0,"message":{"audio":{"data":"UklG"}},"finish_reason":"stop"}'
    document = b'{"id":"theirs", "choices":[%b],"usage":null}' % choice
    async with relaying([answer(document, content_type="application/json")]) as (house, upstream):
        told = await complete(house, modalities=["audio"], audio={"voice": "ash", "format": "wav"})
        assert sent_to(upstream)["stream"] is False
    assert (told.status, told.body) == (200, document)


# OpenAI's own client


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        relaying(events_of(recorded("openai_two_choices.sse"))) as (house, _),
        openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key="any text", max_retries=0) as client,
    ):
        yield client


async def test_the_official_client_streams(client: openai.AsyncOpenAI) -> None:
    """Two answers at once with their log probabilities, chunk by chunk, each with its own reason."""
    options: Any = {"include_usage": True}
    stream = await client.chat.completions.create(
        model="up/m", messages=[QUESTION], n=2, logprobs=True, stream=True, stream_options=options
    )
    chunks = [chunk async for chunk in stream]
    assert texts_of(chunks) == {0: "Yes", 1: "No never"}
    assert {c.index: c.finish_reason for part in chunks for c in part.choices if c.finish_reason} == {
        0: "stop",
        1: "length",
    }
    assert [
        c.logprobs.content[0].token for part in chunks for c in part.choices if c.logprobs and c.logprobs.content
    ] == ["Yes", "No"]
    assert chunks[-1].usage is not None
    assert {part.system_fingerprint for part in chunks} == {"fp_06737a9306"}


async def test_the_official_client_asks_for_the_whole(client: openai.AsyncOpenAI) -> None:
    """The same without a stream."""
    whole = await client.chat.completions.create(model="up/m", messages=[QUESTION], n=2, logprobs=True)
    assert [choice.message.content for choice in whole.choices] == ["Yes", "No never"]
    assert whole.choices[1].logprobs is not None


def texts_of(chunks: Iterable[ChatCompletionChunk]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for part in chunks:
        for choice in part.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    return texts


# What is known of it


@pytest.mark.parametrize(
    "name",
    ["openai_text.sse", "openai_tools.sse", "openai_two_choices.sse", "openai_refusal.sse", "transformers_text.sse"],
)
async def test_the_figures_are_the_same(name: str) -> None:
    """The same answer costs the same, and is delivered the same, whether it passes through or is written anew."""
    async with relaying(events_of(recorded(name))) as (house, _):
        await complete(house, stream=True)
        await house.ask("POST", "/v1/chat/stream", {"messages": [QUESTION]})
        through, anew = await house.settled(2)
    assert figures(through) == figures(anew)


async def test_in_any_format() -> None:
    """A reader of another format gets the first answer's text, its state too, and a session would keep the same."""
    async with relaying(events_of(recorded("openai_two_choices.sse"))) as (house, _):
        stream_id = (await complete(house, stream=True, n=2)).headers["x-tailrace-stream"]
        accept = {"accept": "text/event-stream"}
        delta = await house.ask("GET", f"/v1/streams/{stream_id}?format=delta", headers=accept)
        state = (await house.ask("GET", f"/v1/streams/{stream_id}")).json()
    assert delta.text == "Yes"
    assert delta.objects[-1]["usage"]["output_tokens"] == 3
    assert (state["text"], state["finish_reason"], state["status"]) == ("Yes", "stop", "finished")


async def test_sessions() -> None:
    """A session keeps what was said; the next request has the earlier turns before the client's own as it wrote it."""
    async with relaying(events_of(recorded("openai_text.sse"))) as (house, upstream):
        await complete(house, session_id="tea", stream=True)
        await complete(
            house, session_id="tea", stream=True, messages=[{"role": "user", "content": "And?", "mood": "good"}]
        )
        kept = (await house.ask("GET", "/v1/sessions/tea")).json()["messages"]
        text = kept[1]["content"]
        assert [message["role"] for message in kept] == ["user", "assistant"] * 2
        assert sent_to(upstream, 1)["messages"] == [
            QUESTION,
            {"role": "assistant", "content": text},
            {"role": "user", "content": "And?", "mood": "good"},
        ]
        assert "session_id" not in sent_to(upstream)


# Other upstreams


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"n": 2}, "n"),
        ({"functions": [{"name": "look"}]}, "functions"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, "input_audio"),
    ],
)
async def test_what_another_format_can_not_say(fields: dict[str, Any], named: str) -> None:
    """To an upstream of another format it is refused before anything is asked or written down."""
    async with gateway(default_model="simulated") as house:
        told = await complete(house, **{"model": "simulated", **fields})
        error = told.json()["error"]
        assert (told.status, error["code"], error["param"]) == (400, "unsupported_value", named)
        assert await house.rows() == ()


async def test_a_fallback_of_another_format() -> None:
    """What the first upstream opened with is forgotten when it fails before any content; the other's answer is ours."""
    opening = b'data: {"id":"theirs","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    entry = ModelSettings(provider="up", model="m", fallback=("tap",))
    tap = Tap()
    script: Script = [chunked_head(), chunk(opening), Step.RESET]
    async with ScriptedUpstream(script) as upstream:
        provider = OpenAIProvider(name="up", base_url=upstream.url)
        async with (
            gateway(provider, tap=tap, models={"both": entry}, default_model="both") as house,
            Reader(house.url) as reader,
        ):
            await reader.ask("POST", COMPLETIONS, {"messages": [QUESTION], "stream": True})
            run = await tap.asked()
            assert not run.request.is_native(tap.kind)
            run.say("Hi")
            run.finish()
            told = await reader.whole()
    assert b"theirs" not in told.body
    assert [piece["choices"][0]["delta"].get("content") for piece in told.objects] == ["Hi", None]
    assert told.events[-1].data == "[DONE]"


async def test_a_fallback_of_the_same_format() -> None:
    """An upstream of the client's format hands on its bytes when it is the second one too."""
    tap = Tap(UpstreamError("upstream_error", "down", retryable=False))
    entry = ModelSettings(provider="tap", fallback=("up/m",))
    async with relaying(events_of(write_events(PAYLOADS)), tap=tap, models={"both": entry}, model="both") as (house, _):
        told = await complete(house, stream=True)
    assert data_of(told) == [*PAYLOADS[:-1], b"[DONE]"]


async def test_tried_again() -> None:
    """An upstream that is tried again opens once."""
    opening = b'data: {"id":"theirs","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    script = in_turn([chunked_head(), chunk(opening), Step.RESET], events_of(write_events(PAYLOADS)))
    async with relaying(script, stream={"retries": 1}) as (house, _):
        told = await complete(house, stream=True)
    assert data_of(told) == [*PAYLOADS[:-1], b"[DONE]"]


async def test_an_answer_without_content() -> None:
    """An answer that ends before it says anything is handed on too: its opening and its reason."""
    payloads = as_payloads(
        [
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]},
        ]
    )
    async with relaying(events_of(write_events(payloads))) as (house, _):
        told = await complete(house, stream=True)
    assert data_of(told) == [*payloads, b"[DONE]"]


async def test_frames_have_a_limit() -> None:
    """An upstream that sends frames without end that say nothing is stopped: a log never grows beyond its bounds."""
    idle = write_events([b'{"choices":[],"padding":"%b"}' % (b"x" * 1000)] * 100).removesuffix(b"data: [DONE]\n\n")
    said = write_events(as_payloads(chat_chunks()[2:3])).removesuffix(b"data: [DONE]\n\n")
    may_go_on = asyncio.Event()
    script: Script = [chunked_head(), chunk(said), may_go_on, chunk(idle), Step.STALL]
    async with (
        relaying(script, stream={"max_answer": 1000}) as (house, upstream),
        Reader(house.url) as reader,
    ):
        await reader.ask("POST", COMPLETIONS, {"messages": [QUESTION], "stream": True})
        await reader.until(b"theirs")
        may_go_on.set()
        told = await reader.whole()
        await upstream.closed_by(1)
    assert json.loads(data_of(told)[-1])["error"]["code"] == "too_long"
