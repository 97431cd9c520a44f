"""Anthropic's own Python client against a running server: it is given an address and a key, and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import anthropic
import pydantic
import pytest
import pytest_asyncio
from anthropic.types import Message, MessageParam, TextBlock, ThinkingBlock
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.test_dialects import ANY_TEXT
from tests.dialects.anthropic.test_blocks import interleaved
from tests.dialects.reading import READERS, encode_all
from tests.providers.reading import recorded
from tests.reader import ask
from tests.server import serving
from tests.system.messages import (
    CLAUDE,
    KEY,
    OPENAI,
    QUESTION,
    Scene,
    asks,
    bodies,
    calls_of,
    openai_says,
    says,
    scene,
    streamed,
    texts_of,
)
from tests.system.stage import Stage
from tests.system.voices import REPORTED, AnthropicVoice
from tests.upstream import DEADLINE_S

from tailrace import create_app
from tailrace.dialects import OPENAI_CHAT_USAGE
from tailrace.events import Event, Finished, ReasoningDelta, Started, TextDelta, UsageReported

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT: Final = Path(__file__).parents[2] / "docs/anthropic.md"
LOOK: Any = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
expected = READERS["anthropic"].expected


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def playing() -> AsyncIterator[Scene]:
    async with scene() as playing:
        yield playing


@pytest.fixture(scope="module")
def stage(playing: Scene) -> Stage:
    return playing.stage


@pytest.fixture(scope="module")
def client(playing: Scene) -> anthropic.AsyncAnthropic:
    return playing.client


async def test_a_stream_is_the_whole_answer(client: anthropic.AsyncAnthropic) -> None:
    """The pieces of a stream make up the text of the answer that is not streamed; usage and end are the same."""
    pieces: list[str] = []
    async with client.messages.stream(model="simulated/n30-d1", max_tokens=99, messages=QUESTION) as stream:
        async for text in stream.text_stream:
            pieces.append(text)
        message = await stream.get_final_message()
    whole = await client.messages.create(model="simulated/n30-d1", max_tokens=99, messages=QUESTION)
    assert len(pieces) == 30
    assert ["".join(pieces)] == texts_of(message) == texts_of(whole)
    assert (whole.stop_reason, message.stop_reason) == ("end_turn", "end_turn")
    assert (whole.usage.output_tokens, message.usage.output_tokens) == (30, 30)
    assert whole.usage.input_tokens == message.usage.input_tokens > 0
    assert str(whole._request_id).startswith("req_")


async def test_what_went_in_is_told_at_the_start(client: anthropic.AsyncAnthropic) -> None:
    """The first event says already about how many tokens were asked; the last but one says how many they were."""
    question = asks("Why do rivers meander, and why do they not run straight to the sea? " * 9)
    told: list[int] = []
    async with client.messages.stream(model="simulated/n3-d1", max_tokens=9, messages=question) as stream:
        async for event in stream:
            if event.type == "message_start":
                told.append(event.message.usage.input_tokens)
            elif event.type == "message_delta":
                told.append(event.usage.input_tokens or 0)
    guessed, counted = told
    assert counted / 2 < guessed < counted * 2
    assert (await stream.get_final_message()).usage.input_tokens == counted


async def test_the_client_that_blocks(playing: Scene) -> None:
    """So with the client that does not await, which carries its key as a bearer token."""

    def ask() -> tuple[str, Message]:
        with anthropic.Anthropic(base_url=playing.server.url, api_key=None, auth_token=KEY, max_retries=0) as client:
            with client.messages.stream(model="simulated/n9-d1", max_tokens=99, messages=QUESTION) as stream:
                text = "".join(stream.text_stream)
            return text, client.messages.create(model="simulated/n9-d1", max_tokens=99, messages=QUESTION)

    text, whole = await asyncio.to_thread(ask)
    assert [text] == texts_of(whole)


async def test_limits_and_stop_sequences(client: anthropic.AsyncAnthropic) -> None:
    """An answer says why it stopped, and at what."""
    cut = await client.messages.create(model="simulated", max_tokens=3, messages=QUESTION)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)
    stopped = await streamed(client, "simulated", QUESTION, stop_sequences=["rivers"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "rivers")


async def test_calls_at_once(client: anthropic.AsyncAnthropic) -> None:
    """Two tool calls in one answer are two blocks, streamed in pieces and whole alike."""
    message = await streamed(client, "simulated/n8-d1-r3-t2", QUESTION, tools=[LOOK])
    whole = await client.messages.create(model="simulated/n8-d1-r3-t2", max_tokens=99, messages=QUESTION, tools=[LOOK])
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert calls_of(message) == calls_of(whole)
    assert all(isinstance(given, dict) and given.keys() == {"at"} for _, given in calls_of(message))
    assert (message.stop_reason, whole.stop_reason) == ("tool_use", "tool_use")


async def test_tool_results_go_back(client: anthropic.AsyncAnthropic, stage: Stage) -> None:
    """A client that appends our answer and the tools' results is understood by an upstream of another vendor."""
    function = {"name": "look", "arguments": '{"at":"it"}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    pieces: list[dict[str, Any]] = [
        {"delta": {"tool_calls": [call]}},
        {"delta": {}, "finish_reason": "tool_calls"},
    ]
    body = b"".join(b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, **piece}]}).encode() for piece in pieces)
    stage.set("Look there!", says(body))
    first = await streamed(client, OPENAI, asks("Look there!"), tools=[LOOK])
    assert calls_of(first) == [("call_1", {"at": "it"})]
    stage.set("It is dark.", openai_says("Then wait."))
    result: Any = {"type": "tool_result", "tool_use_id": "call_1", "content": "It is dark.", "is_error": True}
    conversation: list[MessageParam] = [*asks("Look there!"), first.to_param(), {"role": "user", "content": [result]}]
    second = await client.messages.create(model=OPENAI, max_tokens=99, messages=conversation, tools=[LOOK])
    assert texts_of(second) == ["Then wait."]
    assert bodies(stage, "It is dark.")[0]["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"it"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Error: It is dark."},
    ]


async def test_signed_reasoning_goes_round(client: anthropic.AsyncAnthropic, stage: Stage) -> None:
    """Anthropic's reasoning comes with its signature, and goes back to Anthropic with it, unchanged."""
    stage.set("Think it through.", says(recorded("anthropic_thinking.sse")))
    first = await streamed(client, CLAUDE, asks("Think it through."), thinking={"type": "adaptive"})
    thought = first.content[0]
    assert isinstance(thought, ThinkingBlock)
    assert thought.thinking
    assert thought.signature
    stage.set("Go on.", says(recorded("anthropic_text.sse")))
    conversation = [*asks("Think it through."), first.to_param(), *asks("Go on.")]
    await client.messages.create(model=CLAUDE, max_tokens=99, messages=conversation)
    handed_back = bodies(stage, "Go on.")[0]["messages"][1]["content"]
    assert handed_back == [block.model_dump(exclude_none=True) for block in first.content]


async def test_what_only_anthropic_has(client: anthropic.AsyncAnthropic, stage: Stage) -> None:
    """A search that Anthropic runs comes through with its results, its citations and its own word for the end."""
    search: Any = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
    stage.set("When is high tide?", says(recorded("anthropic_search.sse")))
    message = await streamed(client, CLAUDE, asks("When is high tide?"), tools=[search])
    assert [block.type for block in message.content] == ["server_tool_use", "web_search_tool_result", "text"]
    text = message.content[2]
    assert isinstance(text, TextBlock)
    assert text.citations is not None
    assert [citation.cited_text for citation in text.citations] == ["3 pm"]
    assert message.stop_reason == "pause_turn"
    assert bodies(stage, "When is high tide?")[0]["tools"] == [search]
    with pytest.raises(anthropic.BadRequestError, match="web_search_20250305 is understood by upstreams of the kind"):
        await client.messages.create(model=OPENAI, max_tokens=9, messages=QUESTION, tools=[search])


async def test_usage_is_the_upstreams(client: anthropic.AsyncAnthropic, stage: Stage) -> None:
    """What an upstream reports is what the client reads, streamed and whole."""
    voice = AnthropicVoice()
    stage.set("How much was it?", [voice.head, voice.opening(), voice.say("So much."), voice.end("stop")])
    message = await streamed(client, CLAUDE, asks("How much was it?"))
    whole = await client.messages.create(model=CLAUDE, max_tokens=9, messages=asks("How much was it?"))
    for answered in (message, whole):
        assert (answered.usage.input_tokens, answered.usage.output_tokens) == REPORTED


class City(pydantic.BaseModel):
    """What a structured answer is to be."""

    name: str
    people: int


async def test_structured_answers(client: anthropic.AsyncAnthropic, stage: Stage) -> None:
    """The client's parsing helper asks any upstream for JSON by its schema, and parses the answer."""
    stage.set("A city?", openai_says('{"name":"Ulm","people":128000}'))
    parsed = await client.messages.parse(model=OPENAI, max_tokens=99, messages=asks("A city?"), output_format=City)
    assert parsed.parsed_output == City(name="Ulm", people=128000)
    wanted = bodies(stage, "A city?")[0]["response_format"]["json_schema"]
    assert wanted["strict"] is True
    assert wanted["schema"]["properties"].keys() == {"name", "people"}


async def test_beta_features(client: anthropic.AsyncAnthropic, stage: Stage) -> None:
    """The client's beta surface works, and what it asks for reaches Anthropic."""
    stage.set("In beta.", says(recorded("anthropic_text.sse")))
    message = await client.beta.messages.create(
        model=CLAUDE, max_tokens=9, messages=[{"role": "user", "content": "In beta."}], betas=["context-1m-2025-08-07"]
    )
    assert message.content[0].type == "text"
    (asked,) = [asked for asked in stage.upstream.requests if b"In beta." in asked.body]
    assert "context-1m-2025-08-07" in asked.headers["anthropic-beta"]


async def test_tokens_are_counted(client: anthropic.AsyncAnthropic) -> None:
    """A prompt is counted without asking anyone: more text, tools and images are more tokens."""
    counts: list[int] = []
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    prompts: list[dict[str, Any]] = [
        {"messages": asks("Hi")},
        {"messages": asks("Why do rivers meander?")},
        {"messages": asks("Why do rivers meander?"), "system": "Be brief."},
        {"messages": asks("Why do rivers meander?"), "system": "Be brief.", "tools": [LOOK]},
        {"messages": [{"role": "user", "content": [image]}]},
    ]
    for prompt in prompts:
        counted = await client.messages.count_tokens(model=CLAUDE, **prompt)
        counts.append(counted.input_tokens)
    assert counts == sorted(counts)
    assert counts[0] > 0
    assert len(set(counts)) == len(counts)


async def test_the_documents_programs(playing: Scene) -> None:
    """The program that docs/anthropic.md shows prints the whole answer; what it shows for curl is answered."""
    document = DOCUMENT.read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    program = program.replace("http://127.0.0.1:8000", playing.server.url).replace("tr_…", KEY)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(DEADLINE_S):
        printed, _ = await process.communicate()
    (body,) = re.findall(r"-d '(.*?)'", document)
    headers = {"content-type": "application/json", "x-api-key": KEY}
    whole = await ask(playing.server.url, "POST", "/v1/messages", body.encode(), headers=headers)
    assert printed.decode() == whole.json()["content"][0]["text"] != ""


async def test_models_are_listed() -> None:
    """The list is one that the client reads, and holds names that can be asked for."""
    async with (
        serving(create_app()) as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="any text", max_retries=0) as client,
    ):
        models = [model async for model in client.models.list()]
    assert "simulated" in {model.id for model in models}
    assert {model.type for model in models} == {"model"}


@settings(max_examples=25)
@given(thoughts=st.lists(ANY_TEXT, max_size=4), texts=st.lists(ANY_TEXT, max_size=6), case=interleaved())
async def test_round_trip(
    client: anthropic.AsyncAnthropic,
    stage: Stage,
    thoughts: list[str],
    texts: list[str],
    case: tuple[dict[str, Any], Sequence[Event]],
) -> None:
    """Any text, reasoning and tool arguments, in any order of the calls' pieces, come out of the client equal."""
    wanted, calls = case
    events: list[Event] = [
        Started(model="gpt-4o-mini", created_at=0.0),
        *(ReasoningDelta(text=text) for text in thoughts),
        *(TextDelta(text=text) for text in texts),
        *calls,
        UsageReported(input_tokens=1, output_tokens=2),
        Finished(reason="tool_calls"),
    ]
    stage.set("Say it back.", says(encode_all(OPENAI_CHAT_USAGE, events)))
    whole = await client.messages.create(model=OPENAI, max_tokens=9, messages=asks("Say it back."))
    for message in (await streamed(client, OPENAI, asks("Say it back.")), whole):
        reasoning = [block.thinking for block in message.content if isinstance(block, ThinkingBlock)]
        assert "".join(reasoning) == expected("".join(thoughts))
        assert "".join(texts_of(message)) == expected("".join(texts))
        assert dict(calls_of(message)) == wanted
