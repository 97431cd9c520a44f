"""Runnables whose answers a test writes, and what it asks of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
)

from tailrace.events import (
    Event,
    Started,
    TextDelta,
)
from tailrace.providers.base import Finish
from tailrace.providers.langchain import LangChainProvider
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Tool,
    user_message,
)

LOOK = Tool(name="look", description="Look it up", parameters={"type": "object", "properties": {}})
PICTURE = Image(data="QUJD", media_type="image/png", detail="low")


class Scripted(BaseChatModel):
    """A chat model that streams the given chunks and remembers what it was asked."""

    chunks: list[AIMessageChunk]
    asked: list[tuple[list[BaseMessage], dict[str, Any]]]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        raise AssertionError("it should stream")

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.asked.append((messages, {"stop": stop, **kwargs}))
        for chunk in self.chunks:
            yield ChatGenerationChunk(message=chunk.model_copy())

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return self.bind(tools=tools, tool_choice=tool_choice)


class BlockingModel(BaseChatModel):
    """A chat model of the old kind: it can only stream by blocking, and never ends."""

    made: int = 0
    closed: bool = False

    @property
    def _llm_type(self) -> str:
        return "blocking"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("lump"))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        try:
            while True:
                self.made += 1
                time.sleep(0.001)
                yield ChatGenerationChunk(message=AIMessageChunk(content="tick "))
        finally:
            self.closed = True


class BlockingRunnable(Runnable[Any, str]):
    """A hand-written Runnable that has `invoke` and `stream` alone."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> str:  # noqa: A002
        return "lump"

    def stream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[str]:
        yield from ("one ", "two")


class Heard:
    """A sink that remembers what came."""

    def __init__(self) -> None:
        self.calls: list[list[Event]] = []

    def __call__(self, events: list[Event]) -> None:
        self.calls.append(events)

    @property
    def events(self) -> list[Event]:
        return [event for events in self.calls for event in events]

    @property
    def content(self) -> list[Event]:
        return [event for event in self.events if not isinstance(event, Started)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest(**{"model": "", "messages": messages or (user_message("hello"),), **fields})


async def opened(target: Any) -> LangChainProvider:
    provider = LangChainProvider(name="lc", target=target)
    await provider.open()
    return provider


async def run(target: Any, request: ChatRequest | None = None) -> tuple[Heard, Finish]:
    heard = Heard()
    return heard, await (await opened(target)).run(request or asked(), heard)


def scripted(*chunks: AIMessageChunk) -> Scripted:
    return Scripted(chunks=list(chunks), asked=[])


async def until(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        await asyncio.sleep(0.002)
