"""An upstream that speaks OpenAI's Responses API, through every dialect, over turns of tools and reasoning."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import openai
import pytest
from tests.dialects.reading import READERS, STREAM_ID, encode_all
from tests.providers.openai_responses.answering import reader
from tests.providers.reading import read_whole, recorded
from tests.providers.speaking import FORMATS
from tests.reader import ask
from tests.server import embed, serving
from tests.upstream import ScriptedUpstream, in_turn

from tailrace import Tailrace
from tailrace.dialects import DIALECTS
from tailrace.events import Event, Finished, RefusalDelta, TextDelta, UsageReported
from tailrace.settings import ProviderSettings, Secret, Settings

pytestmark = pytest.mark.usefixtures("no_leaks")

WIRE: Final = FORMATS["openai_responses"]
TEXT: Final = "Wheels turn — “slowly”, 水車 🌊.\n"
QUESTION: Final = "How is it there?"
FUNCTION: Final = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
RESULTS: Final = {"call_qPYUVAwKAb9xzFDUuSvY4ePG": "mild", "call_HmsWKQ0IVMmUWXLfIhtLQxGk": "noon"}
SECOND: Final = [
    ("reasoning", "rs_0a1b2c3d4e5f"),
    ("function_call", '{"city":"Bern"}'),
    ("function_call", '{"zone":"CET"}'),
    ("function_call_output", "mild"),
    ("function_call_output", "noon"),
]
"""What the second request must hold of the first answer and its tools, whoever hands it back."""


class House:
    """A server whose provider `openai` asks an upstream that gives these recordings in turn."""

    def __init__(self, url: str, upstream: ScriptedUpstream) -> None:
        self.url = url
        self._upstream = upstream

    def asked(self) -> list[Any]:
        """The bodies that the upstream got."""
        return [json.loads(request.body) for request in self._upstream.requests]

    def handed_back(self) -> list[tuple[str, str]]:
        """The kind of each item in the last request that is no message, and what it says."""
        items = [item for item in self.asked()[-1]["input"] if "type" in item]
        return [(item["type"], item.get("arguments") or item.get("output") or item["id"]) for item in items]


@asynccontextmanager
async def house(*names: str) -> AsyncIterator[House]:
    scripts = in_turn(*(WIRE.answer(recorded(f"openai_responses_{name}.sse")) for name in names))
    async with ScriptedUpstream(scripts) as upstream:
        provider = ProviderSettings(kind="openai_responses", base_url=upstream.url, api_key=Secret("k"))
        tailrace = Tailrace(Settings(providers={"openai": provider}), open=True)
        async with serving(embed(tailrace)) as url:
            yield House(url, upstream)


@asynccontextmanager
async def client_of(house: House) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("name", ["text", "tools", "refusal", "incomplete", "search"])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_can_say_it(dialect: Any, name: str) -> None:
    """What this upstream says comes out of every dialect as a whole stream and a whole answer, its text unchanged."""
    reading = read_whole(reader, recorded(f"openai_responses_{name}.sse"))
    assert reading.finish is not None
    said = [event for event in reading.events if not isinstance(event, UsageReported)]
    used = [event for event in reading.events if isinstance(event, UsageReported)]
    events: list[Event] = [*said, *used, Finished(reason=reading.finish.reason, native=reading.finish.native)]
    frames = READERS[dialect.name].parse(encode_all(dialect, events))
    # Where refusals have no place of their own, they are text
    text, refusal = (
        "".join(event.text for event in said if isinstance(event, kind)) for kind in (TextDelta, RefusalDelta)
    )
    assert READERS[dialect.name].whole_text(frames) in {text, text + refusal}
    assert READERS[dialect.name].ending(frames[-1]) == "finished"
    assert json.loads(dialect.whole(STREAM_ID, events))


async def test_text_through_chat_completions() -> None:
    """OpenAI's client asks for chat completions, and gets the text, the usage and the finish of a response."""
    async with house("text") as served, client_of(served) as client:
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="openai/gpt-4.1-mini",
                messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
                max_completion_tokens=50,
                stream=True,
                stream_options={"include_usage": True},
            )
        ]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == TEXT
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (19, 10)
    [asked] = served.asked()
    assert (asked["instructions"], asked["max_output_tokens"]) == ("Be brief.", 50)
    assert asked["input"] == [{"role": "user", "content": QUESTION}]


async def test_tools_through_chat_completions() -> None:
    """Two calls at once and the reasoning reach OpenAI's client; what the tools answered reaches the upstream."""
    async with house("tools", "text") as served, client_of(served) as client:
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        tools: list[Any] = [{"type": "function", "function": FUNCTION}]
        first = await client.chat.completions.create(model="openai/gpt-5-mini", messages=messages, tools=tools)
        message = first.choices[0].message
        assert message.tool_calls is not None
        assert [call.id for call in message.tool_calls] == [*RESULTS]
        assert first.choices[0].finish_reason == "tool_calls"
        assert message.model_extra == {"reasoning_content": "**Two places**\n\nAsk for both.\n\n**Then**"}
        messages += [message, *({"role": "tool", "tool_call_id": id_, "content": RESULTS[id_]} for id_ in RESULTS)]
        second = await client.chat.completions.create(model="openai/gpt-5-mini", messages=messages, tools=tools)
    assert second.choices[0].message.content == TEXT
    # Chat completions have no place for the proof of reasoning, so none can come back
    assert served.handed_back() == SECOND[1:]
    assert served.asked()[0]["tools"] == [{"type": "function", "strict": False, **FUNCTION}]


async def test_tools_in_a_session() -> None:
    """A session hands everything back itself: the reasoning with its proof, the calls, and what the tools answered."""
    async with house("tools", "text") as served:
        body = {"session_id": "s", "model": "openai/gpt-5-mini", "tools": [{"type": "function", "function": FUNCTION}]}
        first = await ask(served.url, "POST", "/v1/chat/stream", {**body, "message": QUESTION})
        assert "\n\n**Then**" in [piece.get("reasoning") for piece in first.objects]
        results = [{"role": "tool", "tool_call_id": id_, "content": said} for id_, said in RESULTS.items()]
        second = await ask(served.url, "POST", "/v1/chat/stream", {**body, "messages": results})
    assert (first.status, second.text) == (200, TEXT)
    assert served.handed_back() == SECOND
    assert served.asked()[1]["input"][1]["encrypted_content"] == "gAAAAABwhole_and-sealed=="


async def test_tools_through_responses() -> None:
    """A client of the Responses API that keeps the turns itself hands the reasoning back with its proof."""
    async with house("tools", "text") as served, client_of(served) as client:
        asked: list[Any] = [{"role": "user", "content": QUESTION}]
        tools: list[Any] = [{"type": "function", "strict": False, **FUNCTION}]
        first = await client.responses.create(model="openai/gpt-5-mini", input=asked, tools=tools, store=False)
        assert [item.type for item in first.output] == ["reasoning", "function_call", "function_call"]
        asked += [item.model_dump(exclude_none=True) for item in first.output]
        asked += [{"type": "function_call_output", "call_id": id_, "output": RESULTS[id_]} for id_ in RESULTS]
        second = await client.responses.create(model="openai/gpt-5-mini", input=asked, tools=tools, store=False)
    assert second.output_text == TEXT
    assert [(kind, said) for kind, said in served.handed_back() if kind != "reasoning"] == SECOND[1:]
    assert served.asked()[1]["input"][1]["encrypted_content"] == "gAAAAABwhole_and-sealed=="


async def test_a_failure_in_mid_stream() -> None:
    """A response that fails after some text raises in OpenAI's client, with the vendor's words."""
    async with house("failed") as served, client_of(served) as client:
        stream = await client.chat.completions.create(
            model="openai/gpt-4.1-mini", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        with pytest.raises(openai.APIError, match="failed to generate"):
            [chunk async for chunk in stream]
        await stream.close()


async def test_what_it_cannot_do() -> None:
    """A stop sequence is refused before anything is asked, in words that name it."""
    async with house("text") as served, client_of(served) as client:
        with pytest.raises(openai.BadRequestError, match="no stop sequences"):
            await client.chat.completions.create(
                model="openai/gpt-4.1-mini", messages=[{"role": "user", "content": QUESTION}], stop=["x"]
            )
    assert served.asked() == []
