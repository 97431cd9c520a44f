"""Any text and any arguments come out equal of the clients for Node and of LangChain's, through a running server.

Those of the vendors' clients for Python, and the AI SDK's, are in `tests/dialects/*/test_sdk.py` and
`tests/system/test_anthropic_client.py`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.test_dialects import ANY_TEXT
from tests.dialects.ai_sdk.sdk import SDK, running_sdk
from tests.dialects.ai_sdk.test_sdk import JSON, KEYS, cut
from tests.dialects.ollama.test_sdk import Echo
from tests.dialects.reading import READERS
from tests.server import embed, serving
from tests.system.test_langchain_clients import chat_anthropic, chat_openai, chat_responses, read

from tailrace import Settings, Tailrace
from tailrace.events import Event, TextDelta, ToolCallDelta, ToolCallStarted

pytestmark = pytest.mark.asyncio(loop_scope="module")

expected = READERS["anthropic"].expected

TEXTS: Final = st.lists(ANY_TEXT, max_size=5)
INPUTS: Final = st.lists(st.dictionaries(KEYS, JSON, max_size=3), max_size=3)
QUESTION: Final = [{"role": "user", "content": "Hi"}]
LOOK: Final = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
Said: TypeAlias = tuple[str, list[Any]]
"""An answer's text, and the arguments of its calls."""


class Room(msgspec.Struct, frozen=True):
    """A server whose provider says what a test gives it, and the clients for Node."""

    echo: Echo
    url: str
    openai: SDK
    anthropic: SDK


async def node_chat(room: Room) -> Said:
    """OpenAI's chat completions in Node."""
    found = await room.openai.ask("chat", baseURL=f"{room.url}/v1", model="echo/echo", messages=QUESTION)
    assert found["error"] is None
    return found["text"], [json.loads(call["arguments"]) for call in found["calls"]]


async def node_responses(room: Room) -> Said:
    """OpenAI's responses in Node."""
    found = await room.openai.ask("respond", baseURL=f"{room.url}/v1", model="echo/echo", input="Hi")
    assert found["error"] is None
    calls = [item for item in found["response"]["output"] if item["type"] == "function_call"]
    assert found["text"] == found["response"]["output_text"]
    return found["text"], [json.loads(call["arguments"]) for call in calls]


async def node_messages(room: Room) -> Said:
    """Anthropic's messages in Node."""
    found = await room.anthropic.ask("stream", baseURL=room.url, model="echo/echo", max_tokens=9, messages=QUESTION)
    assert found["error"] is None
    blocks = found["message"]["content"]
    assert found["text"] == "".join(block["text"] for block in blocks if block["type"] == "text")
    return found["text"], [block["input"] for block in blocks if block["type"] == "tool_use"]


def langchain(make: Any) -> Callable[[Room], Awaitable[Said]]:
    """One of LangChain's chat models."""

    async def ask(room: Room) -> Said:
        message = await read(make(room.url, "echo/echo").bind_tools([LOOK]), "Hi")
        return message.text, [call["args"] for call in message.tool_calls]

    return ask


ASKING: Final = {
    "node-chat": node_chat,
    "node-responses": node_responses,
    "node-messages": node_messages,
    "langchain-chat": langchain(chat_openai),
    "langchain-responses": langchain(chat_responses),
    "langchain-messages": langchain(chat_anthropic),
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    echo = Echo()
    house = Tailrace(Settings(data_dir=tmp_path_factory.mktemp("data")), providers={"echo": echo}, open=True)
    async with (
        serving(embed(house)) as url,
        running_sdk("openai.mjs") as of_openai,
        running_sdk("anthropic.mjs") as of_anthropic,
    ):
        yield Room(echo, url, of_openai, of_anthropic)


def calling(inputs: Sequence[dict[str, Any]], size: int) -> list[Event]:
    """Calls one after another, as vendors send them, each with its arguments in pieces."""
    events: list[Event] = []
    for place, value in enumerate(inputs):
        events.append(ToolCallStarted(call=place, id=f"call_{place}", name="look"))
        pieces = cut(json.dumps(value, ensure_ascii=place % 2 == 0), size)
        events += [ToolCallDelta(call=place, arguments=piece) for piece in pieces]
    return events


@pytest.mark.parametrize("asking", ASKING)
@settings(max_examples=20)
@given(texts=TEXTS, inputs=INPUTS, size=st.integers(1, 9))
async def test_round_trip(room: Room, asking: str, texts: list[str], inputs: list[dict[str, Any]], size: int) -> None:
    """What a model says and calls is what the client hands to its program, lone surrogates aside."""
    room.echo.events = [*(TextDelta(text=text) for text in texts), *calling(inputs, size)]
    assert await ASKING[asking](room) == (expected("".join(texts)), inputs)
