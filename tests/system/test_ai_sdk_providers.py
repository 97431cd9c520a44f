"""The AI SDK's own providers against a running server: each is given a base URL, and nothing else is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.dialects.ai_sdk.sdk import SDK, running_sdk
from tests.reader import ask
from tests.server import RunningServer, running_server
from tests.system.model_server import ModelServer
from tests.upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI = "openai/gpt-4o-mini"
QUESTION = "Why do rivers meander?"
PROVIDERS = ("openai-compatible", "openai", "anthropic")
"""`createOpenAICompatible`, `createOpenAI().chat` and `createAnthropic`."""

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
REASONING = ("openai-compatible", "anthropic")
"""Those that know of reasoning; OpenAI's own chat completions have no place for it."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sdk() -> AsyncIterator[SDK]:
    async with running_sdk() as sdk:
        yield sdk


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def model_server() -> AsyncIterator[ModelServer]:
    """The upstream of the provider openai."""
    async with ModelServer() as model_server:
        yield model_server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(model_server: ModelServer) -> AsyncIterator[RunningServer]:
    async with running_server(env=model_server.env) as server:
        yield server


async def generate(sdk: SDK, server: RunningServer, provider: str, model: str, **more: Any) -> Any:
    """What `streamText` makes of an answer."""
    return await sdk.ask(
        "generate", provider=provider, baseURL=f"{server.url}/v1", model=model, prompt=QUESTION, **more
    )


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_text_and_usage(sdk: SDK, server: RunningServer, provider: str) -> None:
    """The stream is the whole text, with the reason of its end and what was used."""
    found = await generate(sdk, server, provider, "simulated/n30-d1")
    whole = await ask(server.url, "POST", "/v1/chat", {"message": QUESTION, "model": "simulated/n30-d1"})
    assert (found["error"], found["text"]) == (None, whole.json()["text"])
    assert (found["finishReason"], found["usage"]["outputTokens"]) == ("stop", 30)
    assert found["usage"]["inputTokens"] == whole.json()["usage"]["input_tokens"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_calls_at_once(sdk: SDK, server: RunningServer, provider: str) -> None:
    """Two calls of one answer come in pieces, each with an id, a name and its whole input."""
    found = await generate(sdk, server, provider, "simulated/n8-d1-t2", tools={"get_weather": CITY})
    assert found["error"] is None
    assert [call["name"] for call in found["calls"]] == ["get_weather"] * 2
    assert all(call["input"]["city"] for call in found["calls"])
    assert len({call["id"] for call in found["calls"]}) == 2
    assert found["types"].count("tool-input-delta") > 2
    assert found["finishReason"] == "tool-calls"


@pytest.mark.parametrize("provider", REASONING)
async def test_reasoning(sdk: SDK, server: RunningServer, provider: str) -> None:
    """Reasoning is told apart from the text."""
    found = await generate(sdk, server, provider, "simulated/n8-d1-r5")
    whole = await ask(server.url, "POST", "/v1/chat", {"message": QUESTION, "model": "simulated/n8-d1-r5"})
    assert (found["reasoning"], found["text"]) == (whole.json()["reasoning"], whole.json()["text"])


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_failure_in_the_middle(sdk: SDK, server: RunningServer, provider: str) -> None:
    """A stream that breaks off is an error to the caller, and never a finish that says `stop`."""
    found = await generate(sdk, server, provider, "simulated/n9-d1-x3")
    assert "broke off after 3 tokens" in found["error"]
    assert found["finishReason"] in (None, "error", "other")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_refusal(sdk: SDK, server: RunningServer, provider: str) -> None:
    """What is refused before the stream is an error with the words of the refusal."""
    found = await generate(sdk, server, provider, "nope")
    assert "there is no model 'nope'" in found["error"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_abort(sdk: SDK, server: RunningServer, provider: str) -> None:
    """An abort by the caller closes the upstream's connection."""
    async with ModelServer() as model_server:
        model_server.say("Rivers ", Step.STALL)
        async with running_server(env=model_server.env) as own:
            found = await generate(sdk, own, provider, OPENAI, abortOn="text-delta")
            await model_server.has_seen_leave()
    assert (found["text"], found["types"][-1]) == ("Rivers ", "abort")
