"""The contract of a provider, held by each of them over whatever it speaks to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from tests.providers.reading import ask, recorded
from tests.providers.speaking import FORMATS, Format, Sink, opened
from tests.upstream import Script, ScriptedUpstream, Step, answer, chunk

from tailrace.errors import UpstreamError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.providers.base import Finish, Provider
from tailrace.providers.langchain import LangChainProvider
from tailrace.providers.simulated import SimulatedProvider
from tailrace.requests import ChatRequest, Tool

pytestmark = pytest.mark.usefixtures("no_leaks")

CONTENT: Final = (TextDelta, ReasoningDelta, RefusalDelta, ToolCallStarted, ToolCallDelta, Opaque)

Situations: TypeAlias = dict[str, Callable[[], AbstractAsyncContextManager[tuple[Provider, ChatRequest]]]]
"""A provider and a request for each thing that an upstream may do: text, tools, stall, break, refuse."""


def http(wire: Format) -> Situations:
    scripts: dict[str, Script] = {
        "text": wire.answer(recorded(wire.text)),
        "tools": wire.answer(recorded(wire.tools)),
        "stall": [wire.head(), chunk(wire.half), Step.STALL],
        "break": [wire.head(), chunk(wire.half), Step.RESET],
        "refuse": [answer(b'{"error": "slow down"}', "429 Too Many Requests")],
        "list": [answer(b'{"data": [{"id": "m"}], "models": [{"name": "m"}]}')],
    }

    @asynccontextmanager
    async def situation(script: Script) -> AsyncIterator[tuple[Provider, ChatRequest]]:
        async with ScriptedUpstream(script) as upstream, opened(wire.make(upstream.url, default_model="m")) as provider:
            yield provider, ask(tools=(Tool(name="f"),))

    return {name: partial(situation, script) for name, script in scripts.items()}


def simulated() -> Situations:
    models = {
        "text": "n5-d0",
        "tools": "n20-d0-t2",
        "stall": "n20-d0-s5",
        "break": "n20-d0-x5",
        "refuse": "e429",
        "list": "",
    }

    @asynccontextmanager
    async def situation(model: str) -> AsyncIterator[tuple[Provider, ChatRequest]]:
        async with opened(SimulatedProvider()) as provider:
            yield provider, ask(model=model)

    return {name: partial(situation, model) for name, model in models.items()}


class Scripted(BaseChatModel):
    """A chat model of LangChain's that does one of the things that an upstream may do."""

    situation: str

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, *_args: Any, **_fields: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content="x"))])

    async def _astream(self, *_args: Any, **_fields: Any) -> AsyncIterator[ChatGenerationChunk]:
        match self.situation:
            case "refuse":
                raise Refusal
            case "tools":
                calls = [tool_call_chunk(name="f", args='{"a":', id="1", index=0), tool_call_chunk(args="1}", index=0)]
                for call in calls:
                    yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))
            case _:
                yield ChatGenerationChunk(message=AIMessageChunk(content="Half"))
        if self.situation == "stall":
            await asyncio.Event().wait()
        if self.situation == "break":
            raise ConnectionResetError
        yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last"))

    def bind_tools(self, tools: Any, **_fields: Any) -> Any:
        return self


class Refusal(Exception):  # noqa: N818
    """A vendor's client saying 429."""

    status_code = 429


def langchain() -> Situations:
    @asynccontextmanager
    async def situation(name: str) -> AsyncIterator[tuple[Provider, ChatRequest]]:
        async with opened(LangChainProvider(name="chain", target=Scripted(situation=name))) as provider:
            yield provider, ask(model=provider.default_model)

    return {name: partial(situation, name) for name in ("text", "tools", "stall", "break", "refuse", "list")}


PROVIDERS: Final[dict[str, Situations]] = {
    **{name: http(wire) for name, wire in FORMATS.items()},
    "simulated": simulated(),
    "langchain": langchain(),
}


@pytest.fixture(params=PROVIDERS)
def situations(request: pytest.FixtureRequest) -> Situations:
    """Each of the providers."""
    return PROVIDERS[request.param]


async def run(situations: Situations, name: str, sink: Sink) -> Finish:
    """Let the provider answer in one of the situations."""
    async with situations[name]() as (provider, request):
        return await provider.run(request, sink)


@pytest.mark.parametrize("name", ["text", "tools"])
async def test_a_whole_answer(situations: Situations, name: str) -> None:
    """It starts once, before any content, never says its own end, and returns how it ended."""
    sink = Sink()
    finish = await run(situations, name, sink)
    kinds = [type(event) for event in sink.events]
    assert kinds.count(Started) == 1
    assert any(kind in CONTENT for kind in kinds)
    assert not any(kind in CONTENT for kind in kinds[: kinds.index(Started)])
    assert not {Finished, Failed} & set(kinds)
    assert finish.reason == ("tool_calls" if name == "tools" else "stop")


async def test_started(situations: Situations) -> None:
    """The start names a model and a time, so that an encoder needs no clock."""
    sink = Sink()
    await run(situations, "text", sink)
    started = next(event for event in sink.events if isinstance(event, Started))
    assert started.model
    assert started.created_at > 1_500_000_000


async def test_text(situations: Situations) -> None:
    """Text is never empty, and belongs to the first choice unless more were asked for."""
    sink = Sink()
    await run(situations, "text", sink)
    texts = [event for event in sink.events if isinstance(event, TextDelta)]
    assert texts
    assert all(event.text and event.choice == 0 for event in texts)


async def test_tool_calls(situations: Situations) -> None:
    """Calls are counted from 0, each starts before its arguments, which join to JSON, and has an id of its own."""
    sink = Sink()
    await run(situations, "tools", sink)
    arguments: dict[int, str] = {}
    ids = set[str]()
    for event in sink.events:
        if isinstance(event, ToolCallStarted):
            assert event.call == len(arguments)
            assert event.name
            assert event.id not in ids
            ids.add(event.id)
            arguments[event.call] = ""
        elif isinstance(event, ToolCallDelta):
            arguments[event.call] += event.arguments
    assert arguments
    assert all(isinstance(json.loads(text), dict) for text in arguments.values())


async def test_usage(situations: Situations) -> None:
    """What is told of usage was reported by the upstream, never counted, and adds up."""
    sink = Sink()
    await run(situations, "text", sink)
    for event in sink.events:
        if isinstance(event, UsageReported):
            assert event.source == "reported"
            assert event != UsageReported()
            assert (event.cached_input_tokens or 0) <= (event.input_tokens or 0)
            assert (event.reasoning_tokens or 0) <= (event.output_tokens or 0)


async def test_events_can_be_kept(situations: Situations) -> None:
    """Every event can be written down and read again, as a log must."""
    sink = Sink()
    for name in ("text", "tools"):
        await run(situations, name, sink)
    assert msgspec.json.decode(msgspec.json.encode(sink.events), type=list[Event]) == sink.events


async def test_broken(situations: Situations) -> None:
    """An answer that breaks off gives what came, then an UpstreamError that may be tried again; never a Finish."""
    sink = Sink()
    with pytest.raises(UpstreamError) as caught:
        await run(situations, "break", sink)
    assert any(isinstance(event, TextDelta) for event in sink.events)
    assert caught.value.code in {"upstream_cut", "upstream_error"}
    assert caught.value.retryable


async def test_refused(situations: Situations) -> None:
    """A refusal keeps its status, and the sink hears of nothing."""
    sink = Sink()
    with pytest.raises(UpstreamError) as caught:
        await run(situations, "refuse", sink)
    assert (caught.value.code, caught.value.status) == ("upstream_refused", 429)
    assert caught.value.retryable
    assert sink.events == []


async def test_cancelled(situations: Situations) -> None:
    """Cancelling ends a run that waits for its upstream, and leaves nothing behind."""
    sink = Sink()
    async with situations["stall"]() as (provider, request):
        running = asyncio.create_task(provider.run(request, sink))
        await sink.has_read(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert any(isinstance(event, TextDelta) for event in sink.events)


async def test_sink_raises(situations: Situations) -> None:
    """What the sink raises comes out as it is, at once, and the sink is not called again."""

    class Stop(Exception):  # noqa: N818
        pass

    calls: list[list[Event]] = []

    def sink(events: list[Event], /) -> None:
        calls.append(events)
        raise Stop

    async with situations["stall"]() as (provider, request):
        with pytest.raises(Stop):
            await asyncio.wait_for(provider.run(request, sink), 10)
    assert len(calls) == 1


async def test_many_at_a_time(situations: Situations) -> None:
    """Runs beside each other do not hear each other's events."""
    sinks = [Sink() for _ in range(5)]
    async with situations["text"]() as (provider, request):
        await asyncio.gather(*(provider.run(request, sink) for sink in sinks))
    texts = ["".join(event.text for event in sink.events if isinstance(event, TextDelta)) for sink in sinks]
    assert texts[0]
    assert set(texts) == {texts[0]}


async def test_models(situations: Situations) -> None:
    """The models are a list of names, none twice."""
    async with situations["list"]() as (provider, _):
        models = await provider.models()
    assert models
    assert all(isinstance(name, str) and name for name in models)
    assert len(set(models)) == len(models)


async def test_says_what_it_is(situations: Situations) -> None:
    """A provider has a kind, a name, and perhaps a default model."""
    async with situations["text"]() as (provider, _):
        assert provider.kind in {"openai", "openai_responses", "anthropic", "ollama", "langchain", "simulated"}
        assert provider.name
        assert provider.default_model is None or provider.default_model
