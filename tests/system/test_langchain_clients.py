"""LangChain's chat models against a running server: each is given a base URL, and nothing else is changed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import anthropic
import openai
import pytest
import pytest_asyncio
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from tests.providers.reading import recorded
from tests.server import running_server
from tests.system.messages import OPENAI, bodies, says
from tests.system.stage import Stage
from tests.system.voices import REPORTED, OpenAIVoice
from tests.upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

VOICE: Final = OpenAIVoice()
QUICK: Final = "simulated/n12-d1"
THINKING: Final = "simulated/n12-d1-r4"
BROKEN: Final = "simulated/n9-d1-x3"
SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL: Final[dict[str, Any]] = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
CALLED: Final = [("get_weather", {"city": "Bern"}), ("get_time", {"zone": "CET"})]

SAME: Final[dict[str, Any]] = {"api_key": "any text", "max_retries": 0}

Make = Callable[[str, str], BaseChatModel]


def chat_openai(url: str, model: str) -> BaseChatModel:
    """`ChatOpenAI`, which asks for chat completions."""
    return ChatOpenAI(base_url=f"{url}/v1", model=model, stream_usage=True, **SAME)


def chat_responses(url: str, model: str) -> BaseChatModel:
    """`ChatOpenAI` with the Responses API."""
    return ChatOpenAI(base_url=f"{url}/v1", model=model, use_responses_api=True, **SAME)


def chat_anthropic(url: str, model: str) -> BaseChatModel:
    """`ChatAnthropic`."""
    options: dict[str, Any] = {"model": model, **SAME}
    return ChatAnthropic(base_url=url, **options)


MODELS: Final = (chat_openai, chat_responses, chat_anthropic)
TELL_REASONING: Final = (chat_responses, chat_anthropic)
"""LangChain's reader of chat completions takes no reasoning: OpenAI's have none."""

ERRORS: Final = (openai.APIError, anthropic.APIError)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url(stage: Stage) -> AsyncIterator[str]:
    async with running_server(env=stage.env) as server:
        yield server.url


async def read(model: Any, prompt: Any) -> AIMessageChunk:
    """All chunks of an answer, added up as LangChain does."""
    whole: AIMessageChunk | None = None
    async for chunk in model.astream(prompt):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole


def reasoning_of(message: AIMessage) -> str:
    """What LangChain takes for reasoning."""
    return "".join(str(block.get("reasoning", "")) for block in message.content_blocks if block["type"] == "reasoning")


@pytest.mark.parametrize("make", MODELS)
async def test_text_and_usage(url: str, stage: Stage, make: Make) -> None:
    """A stream's chunks make up the message that is not streamed, and both have the upstream's usage."""
    stage.set("Rivers?", [VOICE.head, VOICE.say("They "), VOICE.say("meander."), VOICE.end("stop")])
    model = make(url, OPENAI)
    streamed, whole = await read(model, "Rivers?"), await model.ainvoke("Rivers?")
    for message in (streamed, whole):
        assert message.text == "They meander."
        assert message.usage_metadata is not None
        assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == REPORTED


@pytest.mark.parametrize("make", MODELS)
async def test_tools(url: str, stage: Stage, make: Make) -> None:
    """Two calls at once come with their arguments, streamed and whole, and what the tools found goes back to them."""
    stage.set("Look twice!", says(recorded("openai_tools.sse")))
    stage.set("noon", [VOICE.head, VOICE.say("Noon."), VOICE.end("stop")])
    model = make(url, OPENAI).bind_tools([TOOL])
    called, whole = await read(model, "Look twice!"), await model.ainvoke("Look twice!")
    for message in (called, whole):
        assert [(call["name"], call["args"]) for call in message.tool_calls] == CALLED
    found = zip(called.tool_calls, ("mild", "noon"), strict=True)
    results = [ToolMessage(said, tool_call_id=call["id"]) for call, said in found]
    answer = await read(model, [HumanMessage("Look twice!"), called, *results])
    assert answer.text == "Noon."
    *_, assistant, mild, noon = bodies(stage, "noon")[-1]["messages"]
    assert [call["id"] for call in assistant["tool_calls"]] == [mild["tool_call_id"], noon["tool_call_id"]]
    assert [call["function"]["name"] for call in assistant["tool_calls"]] == [name for name, _ in CALLED]


@pytest.mark.parametrize("make", TELL_REASONING)
async def test_reasoning(url: str, make: Make) -> None:
    """Reasoning is told apart from the text."""
    model = make(url, THINKING)
    streamed, whole = await read(model, "Think!"), await model.ainvoke("Think!")
    assert (streamed.text, reasoning_of(streamed)) == (whole.text, reasoning_of(whole))
    assert reasoning_of(whole).startswith("The prompt says")


@pytest.mark.parametrize("make", MODELS)
async def test_a_failure_in_the_middle(url: str, make: Make) -> None:
    """What breaks off raises, streamed and whole; the chunks before it are there."""
    model = make(url, BROKEN)
    seen: list[str] = []

    async def read_on() -> None:
        async for chunk in model.astream("Break!"):
            seen.append(chunk.text)

    with pytest.raises(ERRORS, match="broke off after 3 tokens"):
        await read_on()
    assert "".join(seen).startswith("##")
    with pytest.raises(ERRORS, match="broke off after 3 tokens"):
        await model.ainvoke("Break!")


@pytest.mark.parametrize("make", MODELS)
async def test_a_refusal(url: str, make: Make) -> None:
    """An unknown model raises the error of the vendor's client."""
    with pytest.raises((openai.NotFoundError, anthropic.NotFoundError), match="there is no model 'nope'"):
        await make(url, "nope").ainvoke("Hi")


@pytest.mark.parametrize("make", MODELS)
async def test_leaving_closes_the_upstream(url: str, stage: Stage, make: Make) -> None:
    """A loop that stops reading closes the upstream's connection."""
    prompt = f"Leave {make.__name__}!"
    stage.set(prompt, [VOICE.head, VOICE.say("Hel"), Step.STALL])
    stream: Any = make(url, OPENAI).astream(prompt)
    async with contextlib.aclosing(stream) as chunks:
        async for chunk in chunks:
            if chunk.text:
                break
    await stage.left(prompt)


@pytest.mark.parametrize("make", MODELS)
async def test_structured_output(url: str, stage: Stage, make: Make) -> None:
    """`with_structured_output` gets the object that the upstream was asked for."""
    stage.set("Which city?", says(recorded("openai_json.sse")))
    schema = {"title": "answer", "description": "A city", **SCHEMA, "required": ["city"], "additionalProperties": False}
    model = make(url, OPENAI).with_structured_output(schema, method="json_schema")
    assert await model.ainvoke("Which city?") == {"city": "Bern"}
    assert bodies(stage, "Which city?")[-1]["response_format"]["json_schema"]["schema"]["required"] == ["city"]
