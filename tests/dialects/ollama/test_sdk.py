"""Ollama's official Python client reads what we write, through a running server: any text and any arguments."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any, Final

import ollama
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.test_dialects import ANY_TEXT
from tests.dialects.reading import READERS
from tests.server import embed, serving

from tailrace import Settings, Tailrace
from tailrace.events import Event, ReasoningDelta, Started, TextDelta, ToolCallDelta, ToolCallStarted, UsageReported
from tailrace.providers import Finish, Provider, Sink
from tailrace.requests import ChatRequest

expected = READERS["ollama"].expected

TEXTS: Final = st.lists(ANY_TEXT, max_size=6)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CALLS: Final = st.lists(
    st.tuples(ANY_TEXT.filter(bool), st.dictionaries(st.text(), JSON, max_size=3), st.integers(1, 20)), max_size=3
)


class Echo(Provider):
    """Answers with the events that a test gave it."""

    kind = "simulated"
    name = "echo"
    default_model = "echo"

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        sink([Started(model="echo", created_at=1_700_000_000.0)])
        for event in self.events:
            sink([event])
        return Finish(reason="stop")

    async def models(self) -> list[str]:
        return ["echo"]


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def url(echo: Echo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a thread of its own, for a client that blocks."""
    ready, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def serve() -> None:
        settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
        async with serving(embed(Tailrace(settings, providers={"echo": echo}, open=True))) as address:
            found[:] = [address, asyncio.get_running_loop()]
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield found[0]
    found[1].call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[ollama.Client]:
    with ollama.Client(url, trust_env=False) as client:
        yield client


def calls_of(calls: list[tuple[str, dict[str, Any], int]]) -> list[Event]:
    """The events of tool calls, their arguments in pieces of some size, dealt out call by call in turn."""
    starts: list[Event] = [ToolCallStarted(call=n, id=f"call_{n}", name=name) for n, (name, _, _) in enumerate(calls)]
    pieces = [
        (place, number, text[place : place + size])
        for number, (_, arguments, size) in enumerate(calls)
        for text in [json.dumps(arguments, indent=1)]
        for place in range(0, len(text), size)
    ]
    return [*starts, *(ToolCallDelta(call=number, arguments=piece) for _, number, piece in sorted(pieces))]


@settings(max_examples=40)
@given(texts=TEXTS, thoughts=TEXTS, calls=CALLS)
def test_round_trip(
    client: ollama.Client,
    echo: Echo,
    texts: list[str],
    thoughts: list[str],
    calls: list[tuple[str, dict[str, Any], int]],
) -> None:
    """Any text, thinking and arguments of several calls whose pieces come mixed are equal, streamed and whole."""
    echo.events = [
        *(ReasoningDelta(text=text) for text in thoughts),
        *(TextDelta(text=text) for text in texts),
        *calls_of(calls),
        UsageReported(input_tokens=11, output_tokens=42),
    ]
    question = [{"role": "user", "content": "Hi"}]
    whole = client.chat("echo", question).message
    parts = [part.message for part in client.chat("echo", question, stream=True)]
    for said in ([whole], parts):
        made = [call.function for part in said for call in part.tool_calls or ()]
        assert "".join(part.content or "" for part in said) == expected("".join(texts))
        assert "".join(part.thinking or "" for part in said) == expected("".join(thoughts))
        assert [(call.name, call.arguments) for call in made] == [
            (expected(name), arguments) for name, arguments, _ in calls
        ]
