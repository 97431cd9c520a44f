"""The HTTP providers with upstreams that speak their formats: what tests over all of them go through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from tests.providers.reading import recorded
from tests.upstream import Step, chunk, chunked_head
from tests.waiting import until

from tailrace.events import Event
from tailrace.providers.anthropic import AnthropicProvider
from tailrace.providers.base import Provider
from tailrace.providers.http import HttpProvider
from tailrace.providers.ollama import OllamaProvider
from tailrace.providers.openai import OpenAIProvider
from tailrace.providers.openai_responses import OpenAIResponsesProvider

KEY: Final = "sk-canary-0123456789-canary"


P = TypeVar("P", bound=Provider)


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's class, and answers in its format: a whole text, whole calls, and the first piece of a text."""

    provider: Callable[..., HttpProvider]
    base: str
    content_type: str
    text: str
    tools: str
    half: bytes
    terminal: bytes

    def make(self, url: str, **fields: Any) -> HttpProvider:
        """A provider for the upstream at `url`, named "up"."""
        return self.provider(**{"name": "up", "base_url": url + self.base, "api_key": KEY, **fields})

    def answer(self, body: bytes) -> list[bytes | Step]:
        """A script: the body in one chunk, and its end."""
        return [chunked_head(content_type=self.content_type), chunk(body), chunk(b"")]

    def head(self) -> bytes:
        """A 200 with this format's type, and a body in chunks."""
        return chunked_head(content_type=self.content_type)


FORMATS: Final = {
    "openai": Format(
        provider=OpenAIProvider,
        base="/v1",
        content_type="text/event-stream; charset=utf-8",
        text="openai_text.sse",
        tools="openai_tools.sse",
        half=b'data: {"choices":[{"index":0,"delta":{"content":"Half"}}]}\n\n',
        terminal=b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    ),
    "openai_responses": Format(
        provider=OpenAIResponsesProvider,
        base="/v1",
        content_type="text/event-stream; charset=utf-8",
        text="openai_responses_text.sse",
        tools="openai_responses_tools.sse",
        half=b'data: {"type":"response.output_text.delta","output_index":0,"delta":"Half"}\n\n',
        terminal=b'data: {"type":"response.completed","response":{"status":"completed"}}\n\n',
    ),
    "anthropic": Format(
        provider=AnthropicProvider,
        base="",
        content_type="text/event-stream",
        text="anthropic_text.sse",
        tools="anthropic_tools.sse",
        half=b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Half"}}\n\n',
        terminal=b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n',
    ),
    "ollama": Format(
        provider=OllamaProvider,
        base="",
        content_type="application/x-ndjson",
        text="ollama_text.ndjson",
        tools="ollama_tools.ndjson",
        half=b'{"message":{"content":"Half"},"done":false}\n',
        terminal=b'{"message":{"content":""},"done":true,"done_reason":"stop"}\n',
    ),
}


class Sink:
    """Keeps what a provider hands it, read by read."""

    def __init__(self) -> None:
        self.reads: list[list[Event]] = []

    @property
    def events(self) -> list[Event]:
        """All events in order."""
        return [event for events in self.reads for event in events]

    def __call__(self, events: list[Event], /) -> None:
        self.reads.append(events)

    async def has_read(self, count: int) -> None:
        """Wait until there were `count` reads."""
        await until(lambda: len(self.reads) >= count)


@asynccontextmanager
async def opened(provider: P) -> AsyncIterator[P]:
    """The provider between `open` and `close`."""
    await provider.open()
    try:
        yield provider
    finally:
        await provider.close()


def text_of(format_: Format) -> bytes:
    """The recording of a whole text in this format."""
    return recorded(format_.text)
