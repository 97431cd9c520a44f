"""OpenAI's own Python client against a running server: it is given a base URL, and nothing else is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam
from tests.server import running_server

QUESTION: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Why do rivers meander?"}]


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        running_server() as server,
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any text", max_retries=0) as client,
    ):
        yield client


async def test_a_stream_is_the_whole_answer(client: openai.AsyncOpenAI) -> None:
    """The pieces of a stream make up the text of the answer that is not streamed; usage comes when asked for."""
    pieces: list[str] = []
    usage = None
    async with await client.chat.completions.create(
        model="simulated/n30-d1", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    ) as stream:
        async for chunk in stream:
            pieces += [choice.delta.content or "" for choice in chunk.choices]
            usage = chunk.usage or usage
    whole = await client.chat.completions.create(model="simulated/n30-d1", messages=QUESTION)
    assert "".join(pieces) == whole.choices[0].message.content
    assert usage is not None
    assert usage.completion_tokens == 30
    assert whole.choices[0].finish_reason == "stop"


async def test_tool_calls_come_in_pieces(client: openai.AsyncOpenAI) -> None:
    """Two calls at once, each with its id and name first and its arguments in pieces."""
    arguments: dict[int, str] = {}
    names: list[str] = []
    async with await client.chat.completions.create(
        model="simulated/n8-d1-t2", messages=QUESTION, stream=True
    ) as stream:
        async for chunk in stream:
            for call in chunk.choices[0].delta.tool_calls or ():
                assert call.function is not None
                arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
                names += [call.function.name] if call.function.name else []
    assert names == ["get_weather", "get_weather"]
    assert list(arguments) == [0, 1]
    assert all(text.startswith('{"city":') and text.endswith("}") for text in arguments.values())


async def test_a_stream_that_breaks_off_raises(client: openai.AsyncOpenAI) -> None:
    """An upstream that is cut in mid-stream is an exception to the client, never a quiet end."""
    stream = await client.chat.completions.create(model="simulated/n9-x3", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError, match="broke off after 3 tokens"):
        [chunk async for chunk in stream]
    await stream.close()


async def test_refusals_are_the_clients_own_errors(client: openai.AsyncOpenAI) -> None:
    """An unknown model, an upstream's 429 and an empty conversation raise the classes that the client has for them."""
    with pytest.raises(openai.NotFoundError, match="there is no model 'nope'"):
        await client.chat.completions.create(model="nope", messages=QUESTION)
    with pytest.raises(openai.RateLimitError):
        await client.chat.completions.create(model="simulated/e429", messages=QUESTION)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="simulated", messages=[])
    assert caught.value.param == "messages"


async def test_models_are_listed(client: openai.AsyncOpenAI) -> None:
    """The list holds names that can be asked for."""
    names = [model.id async for model in client.models.list()]
    assert "simulated" in names
    answered = await client.chat.completions.create(model=names[-2], messages=QUESTION, max_tokens=3)
    assert answered.usage is not None
