"""A running server, an upstream of any kind behind it, and Anthropic's own Python client before it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import anthropic
import msgspec
from anthropic.types import Message, MessageParam, TextBlock, ToolUseBlock
from tests.server import RunningServer, running_server
from tests.system.stage import Stage
from tests.upstream import Step, chunk, chunked_head

KEY: Final = f"tr_admin_{'k' * 43}"
OPENAI: Final = "openai/gpt-4o-mini"
CLAUDE: Final = "anthropic/claude-haiku-4-5-20251001"
QUESTION: Final[list[MessageParam]] = [{"role": "user", "content": "Why do rivers meander?"}]

_SMALL: Final = '[server]\nmax_body = "256KiB"\n'


class Scene(msgspec.Struct, frozen=True):
    """What a test of the client needs: the stage is the upstream of openai, anthropic and ollama."""

    stage: Stage
    server: RunningServer
    client: anthropic.AsyncAnthropic


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """All three, for as many tests as wish."""
    async with (
        Stage() as stage,
        running_server(env={**stage.env, "TAILRACE_ADMIN_KEY": KEY}, config=_SMALL) as server,
        anthropic.AsyncAnthropic(base_url=server.url, api_key=KEY, max_retries=0) as client,
    ):
        yield Scene(stage, server, client)


def says(body: bytes) -> list[bytes | Step]:
    """An upstream's script: this event stream, and its end."""
    return [chunked_head(), chunk(body), chunk(b"")]


def openai_says(text: str) -> list[bytes | Step]:
    """The script of an OpenAI upstream that says this."""
    done = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    return says(b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(done).encode())


def asks(prompt: str) -> list[MessageParam]:
    """A conversation of one question."""
    return [{"role": "user", "content": prompt}]


async def streamed(client: anthropic.AsyncAnthropic, model: str, messages: Any, **options: Any) -> Message:
    """What the client puts together of a stream."""
    async with client.messages.stream(model=model, max_tokens=2000, messages=messages, **options) as stream:
        return await stream.get_final_message()


def texts_of(message: Message) -> list[str]:
    """Its blocks of text."""
    return [block.text for block in message.content if isinstance(block, TextBlock)]


def calls_of(message: Message) -> list[tuple[str, object]]:
    """Its tool calls: id and arguments."""
    return [(block.id, block.input) for block in message.content if isinstance(block, ToolUseBlock)]


def bodies(stage: Stage, prompt: str) -> list[Any]:
    """What the upstream was sent with this prompt in it."""
    return [json.loads(asked.body) for asked in stage.upstream.requests if prompt.encode() in asked.body]
