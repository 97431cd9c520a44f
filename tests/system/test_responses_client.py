"""OpenAI's own Python client speaks its Responses API to a running server: a base URL, and nothing else is changed."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import openai
import pydantic
import pytest
import pytest_asyncio
from openai.types.responses import FunctionToolParam
from tests.server import running_server
from tests.system.stage import Stage
from tests.system.voices import REPORTED, OpenAIVoice
from tests.upstream import DEADLINE_S
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

VOICE: Final = OpenAIVoice()
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "responses.md"
QUICK: Final = "simulated/n8-d1"
THINKING: Final = "simulated/n12-d1-r4-t2"
TOOL: Final[FunctionToolParam] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url(stage: Stage) -> AsyncIterator[str]:
    async with running_server(env=stage.env) as server:
        yield f"{server.url}/v1"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=url, api_key="any text", max_retries=0) as client:
        yield client


async def test_a_stream_is_the_whole_answer(client: openai.AsyncOpenAI, stage: Stage) -> None:
    """The pieces of a stream make up the response at its end, which has the upstream's usage, and so has the whole."""
    stage.set("Rivers?", [VOICE.head, VOICE.say("They "), VOICE.say("meander."), VOICE.end("stop")])
    async with await client.responses.create(model="openai/m", input="Rivers?", stream=True) as stream:
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    whole = await client.responses.create(model="openai/m", input="Rivers?")
    last = events[-1]
    assert last.type == "response.completed"
    for response in (last.response, whole):
        assert response.output_text == text == "They meander."
        assert response.usage is not None
        assert (response.usage.input_tokens, response.usage.output_tokens) == REPORTED


async def test_the_sync_client(url: str) -> None:
    """The client without async reads the same, through its own helper."""

    def converse() -> tuple[str, str]:
        with (
            openai.OpenAI(base_url=url, api_key="any text", max_retries=0) as client,
            client.responses.stream(model=QUICK, input="Hi") as stream,
        ):
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            return text, stream.get_final_response().output_text

    text, whole = await asyncio.to_thread(converse)
    assert text == whole != ""


async def test_reasoning_and_parallel_calls(client: openai.AsyncOpenAI) -> None:
    """Reasoning, text and two calls at once come through the client's helper, each item in pieces and then whole."""
    async with client.responses.stream(model=THINKING, input="Hi", tools=[TOOL]) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    thought = "".join(event.delta for event in events if event.type == "response.reasoning_summary_text.delta")
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]
    reasoning, _, *calls = final.output
    assert reasoning.type == "reasoning"
    assert [piece.text for piece in reasoning.summary] == [thought]
    for place, call in enumerate(calls, 2):
        assert call.type == "function_call"
        pieces = [
            event.delta
            for event in events
            if event.type == "response.function_call_arguments.delta" and event.output_index == place
        ]
        assert len(pieces) > 1
        assert "".join(pieces) == call.arguments
        assert json.loads(call.arguments).keys() == {"city"}
    assert final.usage is not None
    assert final.usage.output_tokens_details.reasoning_tokens == 4


class City(pydantic.BaseModel):
    """What a structured answer is to be."""

    name: str
    people: int


async def test_structured_output(client: openai.AsyncOpenAI, stage: Stage) -> None:
    """The client's schema goes to the upstream, and what it answers comes out as the client's own object."""
    stage.set("Ulm?", [VOICE.head, VOICE.say('{"name":"Ulm",'), VOICE.say('"people":128000}'), VOICE.end("stop")])
    answer = await client.responses.parse(model="openai/m", input="Ulm?", text_format=City)
    assert answer.output_parsed == City(name="Ulm", people=128000)
    asked = json.loads(stage.upstream.requests[-1].body)["response_format"]["json_schema"]
    assert (asked["name"], asked["schema"]["required"]) == ("City", ["name", "people"])


async def test_a_stream_that_breaks_off_raises(client: openai.AsyncOpenAI) -> None:
    """An upstream that is cut in mid-stream is an exception to the client and to its helper, never a quiet end."""
    with pytest.raises(openai.APIError, match="broke off after 3 tokens"):
        async with await client.responses.create(model="simulated/n9-d1-x3", input="Hi", stream=True) as stream:
            [event async for event in stream]
    with pytest.raises(openai.APIError, match="broke off after 3 tokens"):
        async with client.responses.stream(model="simulated/n9-d1-x3", input="Hi") as helper:
            await helper.get_final_response()
    with pytest.raises(openai.InternalServerError, match="broke off after 3 tokens"):
        await client.responses.create(model="simulated/n9-d1-x3", input="Hi")


async def test_an_answer_that_is_too_long(client: openai.AsyncOpenAI, stage: Stage) -> None:
    """An answer that met its limit is incomplete, streamed and whole."""
    stage.set("Long?", [VOICE.head, VOICE.say("They"), VOICE.end("length")])
    whole = await client.responses.create(model="openai/m", input="Long?", max_output_tokens=1)
    assert (whole.status, whole.output_text) == ("incomplete", "They")
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    stream = await client.responses.create(model="openai/m", input="Long?", stream=True)
    assert [event.type async for event in stream][-1] == "response.incomplete"


async def test_leaving_closes_the_upstream(client: openai.AsyncOpenAI, stage: Stage) -> None:
    """A client that closes its stream stops the upstream; so does a cancel from another connection."""
    for prompt, cancel in (("Leave!", False), ("Cancel!", True)):
        stage.set(prompt, [VOICE.head, VOICE.say("Hel"), asyncio.Event()])
        async with await client.responses.create(
            model="openai/m", input=prompt, stream=True, background=cancel
        ) as stream:
            async for event in stream:
                if event.type == "response.created":
                    response_id = event.response.id
                if event.type == "response.output_text.delta":
                    break
            if cancel:
                cancelled = await client.responses.cancel(response_id)
                assert (cancelled.status, cancelled.output_text) == ("cancelled", "Hel")
        await stage.left(prompt)


async def test_the_background(client: openai.AsyncOpenAI) -> None:
    """A response in the background is there at once, is polled to its end, and can be stopped."""
    queued = await client.responses.create(model="simulated/n30-d5", input="Hi", background=True)
    assert queued.status == "queued"
    done = await eventually(
        lambda: client.responses.retrieve(queued.id), lambda found: found.status not in ("queued", "in_progress")
    )
    assert (done.status, bool(done.output_text)) == ("completed", True)
    endless = await client.responses.create(model="simulated/s1", input="Hi", background=True)
    assert (await client.responses.cancel(endless.id)).status == "cancelled"
    assert (await client.responses.retrieve(endless.id)).status == "cancelled"


async def test_every_number_leads_to_the_rest(client: openai.AsyncOpenAI) -> None:
    """`starting_after` gives exactly the events above it, whatever the number; the client's helper takes it too."""
    async with await client.responses.create(model=THINKING, input="Hi", stream=True) as stream:
        events = [event async for event in stream]
    first = events[0]
    assert first.type == "response.created"
    for number in range(len(events)):
        rest = await client.responses.retrieve(first.response.id, stream=True, starting_after=number)
        assert [event async for event in rest] == events[number + 1 :]
    async with client.responses.stream(response_id=first.response.id, starting_after=5) as helper:
        assert [event.sequence_number async for event in helper] == list(range(6, len(events)))


async def test_a_conversation_and_a_branch(client: openai.AsyncOpenAI, stage: Stage) -> None:
    """Three turns and a branch by nothing but ids: the upstream is asked the conversation that each of them means."""
    answers = {"One?": "1", "Two?": "2", "Three?": "3", "Else?": "4"}
    for prompt, answer in answers.items():
        stage.set(prompt, [VOICE.head, VOICE.say(answer), VOICE.end("stop")])

    async def ask(prompt: str, previous: str | None = None, instructions: str | None = None) -> tuple[str, list[Any]]:
        response = await client.responses.create(
            model="openai/m", input=prompt, previous_response_id=previous, instructions=instructions
        )
        assert response.output_text == answers[prompt]
        asked = json.loads(stage.upstream.requests[-1].body)["messages"]
        return response.id, [(message["role"], message["content"]) for message in asked]

    one, _ = await ask("One?", instructions="Count.")
    two, asked_two = await ask("Two?", one)
    _, asked_three = await ask("Three?", two)
    _, asked_else = await ask("Else?", one)
    opening = [("user", "One?"), ("assistant", "1")]
    assert asked_two == [*opening, ("user", "Two?")]
    assert asked_three == [*opening, ("user", "Two?"), ("assistant", "2"), ("user", "Three?")]
    assert asked_else == [*opening, ("user", "Else?")]
    items = await client.responses.input_items.list(two, order="asc")
    assert [item.type async for item in items] == ["message"] * 3


async def test_outputs_of_functions(client: openai.AsyncOpenAI) -> None:
    """The client answers the calls of one response in the next, by the id of the first alone."""
    first = await client.responses.create(model=THINKING, input="Weather?", tools=[TOOL])
    calls = [item for item in first.output if item.type == "function_call"]
    assert len(calls) == 2
    second = await client.responses.create(
        model=QUICK,
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sun"} for call in calls],
    )
    assert second.status == "completed"


async def test_a_restart_keeps_what_is_stored(tmp_path: Path) -> None:
    """A response outlives the server that made it: found again, streamed again, gone on from."""
    env = {"TAILRACE_DATA_DIR": str(tmp_path)}
    async with running_server(env=env) as server:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
            first = await client.responses.create(model=QUICK, input="Hi", metadata={"k": "v"})
        server.signal(signal.SIGTERM)
        await server.ended()
    async with (
        running_server(env=env) as server,
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client,
    ):
        assert await client.responses.retrieve(first.id) == first
        events = [event async for event in await client.responses.retrieve(first.id, stream=True)]
        assert events[-1].type == "response.completed"
        second = await client.responses.create(model=QUICK, input="And?", previous_response_id=first.id)
        assert second.status == "completed"


async def test_refusals_are_the_clients_own_errors(client: openai.AsyncOpenAI) -> None:
    """Unknown models, responses and items, wrong fields and an upstream's 429 raise the classes that there are."""
    with pytest.raises(openai.NotFoundError, match="there is no model 'nope'"):
        await client.responses.create(model="nope", input="Hi")
    with pytest.raises(openai.NotFoundError, match="resp_nope"):
        await client.responses.retrieve("resp_nope")
    with pytest.raises(openai.NotFoundError, match="msg_nope"):
        await client.responses.create(model=QUICK, input=[{"type": "item_reference", "id": "msg_nope"}])
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model="simulated/e429", input="Hi")
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("input", {"input": []}),
        ("previous_response_id", {"input": "Hi", "previous_response_id": "resp_nope"}),
        ("input[0].call_id", {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}),
        ("text.format.schema", {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "n"}}}),
    ]
    for param, fields in wrong:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(model=QUICK, **fields)
        assert caught.value.param == param


async def test_the_documentation_s_program(url: str) -> None:
    """The Python of the documentation runs as it stands, one block after the other, at this server."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    program = "\n".join(blocks).replace("http://127.0.0.1:8000/v1", url).replace("tr_…", "any text")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(6 * DEADLINE_S):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"A simulated answer" in out
    assert out.rstrip().endswith(b"response.completed")


async def test_forgetting(client: openai.AsyncOpenAI) -> None:
    """A deleted response is gone, and one that is not stored was never there."""
    stored = await client.responses.create(model=QUICK, input="Hi")
    await client.responses.delete(stored.id)
    unstored = await client.responses.create(model=QUICK, input="Hi", store=False)
    for response in (stored, unstored):
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)
