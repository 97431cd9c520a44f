"""What goes wrong, as Anthropic's own Python client tells it: each in the class that it has for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
import pytest_asyncio
from tests.system.messages import CLAUDE, OPENAI, QUESTION, Scene, asks, scene
from tests.system.stage import Stage
from tests.system.voices import AnthropicVoice, OpenAIVoice
from tests.upstream import Step, answer

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


async def test_a_stream_that_breaks_off_raises(client: anthropic.AsyncAnthropic, stage: Stage) -> None:
    """An upstream that is cut, or complains, in mid-stream is an exception to the client, never a quiet end."""
    voice = OpenAIVoice()
    stage.set("Break off.", [voice.head, voice.say("Half"), Step.RESET])
    stage.set("Complain.", [voice.head, voice.say("Half"), voice.complain(), voice.last_chunk])
    for prompt, told in (("Break off.", "reset|broke|lost|ended"), ("Complain.", "out of order")):
        pieces: list[str] = []
        async with client.messages.stream(model=OPENAI, max_tokens=9, messages=asks(prompt)) as stream:
            with pytest.raises(anthropic.APIStatusError, match=told) as caught:
                await _collect(stream, pieces)
        assert (pieces, caught.value.type) == (["Half"], "api_error")


async def test_leaving_closes_the_upstream(client: anthropic.AsyncAnthropic, stage: Stage) -> None:
    """A client that stops reading stops the upstream."""
    voice = AnthropicVoice()
    stage.set("Never stop.", [voice.head, voice.opening(), voice.say("On"), Step.STALL])
    async with client.messages.stream(model=CLAUDE, max_tokens=9, messages=asks("Never stop.")) as stream:
        async for text in stream.text_stream:
            assert text == "On"
            break
    await stage.left("Never stop.")


@pytest.mark.parametrize(
    ("model", "error", "kind"),
    [
        ("nope", anthropic.NotFoundError, "not_found_error"),
        ("simulated/e400", anthropic.BadRequestError, "invalid_request_error"),
        ("simulated/e413", anthropic.ContentTooLargeError, "request_too_large"),
        ("simulated/e429", anthropic.RateLimitError, "rate_limit_error"),
        ("simulated/e500", anthropic.InternalServerError, "api_error"),
        ("simulated/e529", anthropic.OverloadedError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_are_the_clients_own(
    client: anthropic.AsyncAnthropic, model: str, error: type[anthropic.APIStatusError], kind: str, stream: bool
) -> None:
    """What can't be answered raises the class that the client has for it, with its type and the request's id."""
    with pytest.raises(error) as caught:
        await client.messages.create(model=model, max_tokens=9, messages=QUESTION, stream=stream)
    assert caught.value.type == kind
    assert str(caught.value.request_id).startswith("req_")
    assert caught.value.body["request_id"] == caught.value.request_id  # type: ignore[index]


async def test_wrong_keys(client: anthropic.AsyncAnthropic) -> None:
    """No key that is right: 401, before the body is read; one for other models: 403."""
    with pytest.raises(anthropic.AuthenticationError, match="valid API key") as caught:
        await client.with_options(api_key="tr_wrong").messages.create(model="m", max_tokens=9, messages=[])
    assert caught.value.type == "authentication_error"
    made: Any = await client.post("/v1/keys", body={"name": "n", "models": ["simulated"]}, cast_to=object)
    narrow = client.with_options(api_key=made["key"])
    with pytest.raises(anthropic.PermissionDeniedError) as forbidden:
        await narrow.messages.create(model=OPENAI, max_tokens=9, messages=QUESTION)
    assert forbidden.value.type == "permission_error"
    with pytest.raises(anthropic.PermissionDeniedError):
        await narrow.messages.count_tokens(model=OPENAI, messages=QUESTION)


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "messages: must not be empty"),
        (
            [*QUESTION, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}],
            "messages.1.content.0.tool_use_id: no assistant turn before it",
        ),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}],
            "messages.0.content.0.source: a file",
        ),
        ([{"role": "user", "content": 5}], "messages.0.content: Input should be"),
    ],
)
async def test_wrong_bodies(client: anthropic.AsyncAnthropic, messages: Any, told: str) -> None:
    """What is wrong with a body is told with its place, also where tokens are only counted."""
    with pytest.raises(anthropic.BadRequestError, match=told):
        await client.messages.create(model="simulated", max_tokens=9, messages=messages)
    with pytest.raises(anthropic.BadRequestError, match=told):
        await client.messages.count_tokens(model="simulated", messages=messages)


async def test_bodies_that_are_too_large(client: anthropic.AsyncAnthropic) -> None:
    """A body over the cap is refused as Anthropic refuses one."""
    with pytest.raises(anthropic.ContentTooLargeError) as caught:
        await client.messages.create(model="simulated", max_tokens=9, messages=asks("x" * 300_000))
    assert str(caught.value.type) == "request_too_large"


async def test_what_an_upstream_lacks_is_refused(client: anthropic.AsyncAnthropic) -> None:
    """An image's address where bytes are wanted, and sampling that OpenAI's answers have no word for, are a 400."""
    picture: Any = [
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a.example/"}}]}
    ]
    with pytest.raises(anthropic.BadRequestError, match="base64"):
        await client.messages.create(model="ollama/llava", max_tokens=9, messages=picture)
    document: Any = [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}]
    with pytest.raises(anthropic.BadRequestError, match="document is understood"):
        await client.messages.create(model="simulated", max_tokens=9, messages=document)


async def test_refusals_of_the_upstream(client: anthropic.AsyncAnthropic, stage: Stage) -> None:
    """An upstream's own refusal keeps its status and its words."""
    refusal = b'{"type":"error","error":{"type":"invalid_request_error","message":"too many tokens"}}'
    stage.set("Refuse me.", [answer(refusal, "400 Bad Request", content_type="application/json")])
    with pytest.raises(anthropic.BadRequestError, match="too many tokens"):
        await client.messages.create(model=CLAUDE, max_tokens=9, messages=asks("Refuse me."))


async def _collect(stream: anthropic.AsyncMessageStream, pieces: list[str]) -> None:
    async for text in stream.text_stream:
        pieces.append(text)
