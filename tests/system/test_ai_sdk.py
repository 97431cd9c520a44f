"""`useChat` against a running server: its own chat and transport, given the address and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.dialects.ai_sdk.sdk import SDK, running_sdk
from tests.reader import ask
from tests.server import RunningServer, running_server
from tests.system.model_server import ModelServer
from tests.upstream import Step
from tests.web.tapped import house

from tailrace.events import ReasoningDelta, ToolCallDelta, ToolCallStarted
from tailrace.requests import ToolCall, ToolResult

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI = "openai/gpt-4o-mini"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sdk() -> AsyncIterator[SDK]:
    async with running_sdk() as sdk:
        yield sdk


@pytest_asyncio.fixture(loop_scope="module")
async def model_server() -> AsyncIterator[ModelServer]:
    """The upstream of the provider openai."""
    async with ModelServer() as model_server:
        yield model_server


@pytest_asyncio.fixture(loop_scope="module")
async def server(model_server: ModelServer) -> AsyncIterator[RunningServer]:
    async with running_server(env=model_server.env) as server:
        yield server


async def opened(sdk: SDK, url: str, chat: str, *, name: str | None = None, **body: Any) -> str:
    """A page with a chat of this name, which is the page's own unless said."""
    await sdk.ask("open", chat=chat, name=name or chat, api=f"{url}/ai-sdk/chat", body=body)
    return chat


def last_text(state: Any) -> str:
    """The text of the last message."""
    return "".join(part["text"] for part in state["messages"][-1]["parts"] if part["type"] == "text")


async def test_text(sdk: SDK, server: RunningServer) -> None:
    """The client shows the whole answer, under the stream's own id, and knows the model and what was used."""
    chat = await opened(sdk, server.url, "text", model="simulated/n30-d1")
    state = await sdk.ask("send", chat=chat, text="Why do rivers meander?")
    whole = await ask(
        server.url, "POST", "/v1/chat", {"message": "Why do rivers meander?", "model": "simulated/n30-d1"}
    )
    assert last_text(state) == whole.json()["text"]
    assert (state["status"], state["finishes"]) == (
        "ready",
        [{"isAbort": False, "isError": False, "finishReason": "stop"}],
    )
    message = state["messages"][-1]
    assert (message["metadata"]["model"], message["metadata"]["usage"]["outputTokens"]) == ("simulated/n30-d1", 30)
    stream = await ask(server.url, "GET", f"/v1/streams/{message['id']}")
    assert stream.json()["text"] == last_text(state)


async def test_reasoning_and_calls_at_once(sdk: SDK, server: RunningServer) -> None:
    """Reasoning is a part of its own; two calls come in pieces and are whole at the end."""
    chat = await opened(sdk, server.url, "calls", model="simulated/n8-d1-r5-t2")
    state = await sdk.ask("send", chat=chat, text="Hi")
    parts = state["messages"][-1]["parts"]
    assert [part["type"] for part in parts if part["type"] != "text"] == [
        *("step-start", "reasoning", "tool-get_weather", "tool-get_weather")
    ]
    assert all(part["state"] == "input-available" and part["input"]["city"] for part in parts[-2:])
    assert state["finishes"][-1]["finishReason"] == "tool-calls"


async def test_outputs_go_back(sdk: SDK) -> None:
    """What the tools gave back goes to the model with its calls, and the answer goes on in the same message."""
    async with house() as server:
        chat = await opened(sdk, server.url, "outputs")
        sending = asyncio.create_task(sdk.ask("send", chat=chat, text="Look!"))
        run = await server.tap.asked()
        run.start()
        run.say(ReasoningDelta(text="Hm."), ReasoningDelta(text="", signature="c2ln"))
        run.say(*(ToolCallStarted(call=place, id=f"call_{place}", name="look") for place in range(2)))
        run.say(ToolCallDelta(call=1, arguments='{"at":'), ToolCallDelta(call=0, arguments='{"at":"it"}'))
        await sdk.ask("until", chat=chat, text='"state":"input-streaming","input":{"at":"it"}')
        run.say(ToolCallDelta(call=1, arguments='"me"}'))
        run.finish("tool_calls")
        first = (await sending)["messages"][-1]
        for place in range(2):
            await sdk.ask("output", chat=chat, tool="look", toolCallId=f"call_{place}", output={"seen": place})
        proceeding = asyncio.create_task(sdk.ask("proceed", chat=chat))
        second = await server.tap.asked(2)
        second.start()
        second.say("I see.")
        second.finish()
        state = await proceeding
    asked = second.request.messages
    assert [message.role for message in asked] == ["user", "assistant", "tool", "tool"]
    assert asked[1].parts[1:] == (
        ToolCall(id="call_0", name="look", arguments='{"at":"it"}'),
        ToolCall(id="call_1", name="look", arguments='{"at":"me"}'),
    )
    assert getattr(asked[1].parts[0], "signature", None) == "c2ln"
    assert [part.id for message in asked[2:] for part in message.parts if isinstance(part, ToolResult)] == [
        "call_0",
        "call_1",
    ]
    assert [message["id"] for message in state["messages"]][1:] == [first["id"]]
    assert last_text(state) == "I see."


async def test_a_failure_in_the_middle(sdk: SDK, server: RunningServer, model_server: ModelServer) -> None:
    """An upstream that breaks off is an error to the client, which keeps what it has."""
    model_server.say("Rivers ", Step.RESET)
    chat = await opened(sdk, server.url, "failure", model=OPENAI)
    state = await sdk.ask("send", chat=chat, text="Hi")
    assert (state["status"], last_text(state)) == ("error", "Rivers ")
    assert "closed the connection before its answer was whole" in state["error"]
    assert state["finishes"] == [{"isAbort": False, "isError": True}]


async def test_a_refusal(sdk: SDK, server: RunningServer) -> None:
    """What is refused before the stream is an error with its status and problem JSON for a message."""
    chat = await opened(sdk, server.url, "refusal", model="nope")
    state = await sdk.ask("send", chat=chat, text="Hi")
    assert (state["status"], state["statusCode"]) == ("error", 404)
    assert "there is no model 'nope'" in json.loads(state["error"])["detail"]


async def test_a_stop_by_the_client(sdk: SDK, server: RunningServer, model_server: ModelServer) -> None:
    """With `on_disconnect: cancel` the upstream's connection is closed as soon as the client stops."""
    model_server.say("Rivers ", Step.STALL)
    chat = await opened(sdk, server.url, "stop", model=OPENAI, on_disconnect="cancel")
    sending = asyncio.create_task(sdk.ask("send", chat=chat, text="Hi"))
    await sdk.ask("until", chat=chat, text="Rivers ")
    await sdk.ask("stop", chat=chat)
    state = await sending
    assert (state["status"], state["finishes"][-1]["isAbort"], last_text(state)) == ("ready", True, "Rivers ")
    await model_server.has_seen_leave()


async def test_a_page_loaded_anew(sdk: SDK, server: RunningServer, model_server: ModelServer) -> None:
    """A page that comes back within the grace gets the whole answer, from its start to its end."""
    gate = asyncio.Event()
    model_server.say("Rivers ", gate, "bend.")
    before = await opened(sdk, server.url, "before", name="a chat/with: any id?", model=OPENAI)
    sending = asyncio.create_task(sdk.ask("send", chat=before, text="Hi"))
    await sdk.ask("until", chat=before, text="Rivers ")
    await sdk.ask("stop", chat=before)
    await sending
    after = await opened(sdk, server.url, "after", name="a chat/with: any id?")
    resuming = asyncio.create_task(sdk.ask("resume", chat=after))
    await sdk.ask("until", chat=after, text="Rivers ")
    gate.set()
    state = await resuming
    assert (state["status"], last_text(state), len(state["messages"])) == ("ready", "Rivers bend.", 1)
    assert model_server.asked == 1


async def test_two_pages_at_once(sdk: SDK, server: RunningServer, model_server: ModelServer) -> None:
    """A second page that resumes reads along, and each has the whole."""
    gate = asyncio.Event()
    model_server.say("Rivers ", gate, "bend.")
    first = await opened(sdk, server.url, "first", name="shared", model=OPENAI)
    sending = asyncio.create_task(sdk.ask("send", chat=first, text="Hi"))
    await sdk.ask("until", chat=first, text="Rivers ")
    second = await opened(sdk, server.url, "second", name="shared")
    resuming = asyncio.create_task(sdk.ask("resume", chat=second))
    await sdk.ask("until", chat=second, text="Rivers ")
    gate.set()
    states = await asyncio.gather(sending, resuming)
    assert [last_text(state) for state in states] == ["Rivers bend."] * 2
    assert states[0]["messages"][-1]["id"] == states[1]["messages"][-1]["id"]


async def test_nothing_to_resume(sdk: SDK, server: RunningServer, model_server: ModelServer) -> None:
    """Where nothing is running, because nothing was asked or all is said, there is nothing to resume."""
    model_server.say("Rivers bend.")
    chat = await opened(sdk, server.url, "done", model=OPENAI)
    assert (await sdk.ask("resume", chat=chat))["messages"] == []
    await sdk.ask("send", chat=chat, text="Hi")
    again = await opened(sdk, server.url, "again", name="done")
    state = await sdk.ask("resume", chat=again)
    assert (state["status"], state["messages"]) == ("ready", [])


async def test_a_cancel(sdk: SDK, server: RunningServer, model_server: ModelServer) -> None:
    """`POST …/cancel` stops the upstream at once; the client is told, keeps what it has, and sees no error."""
    model_server.say("Rivers ", Step.STALL)
    chat = await opened(sdk, server.url, "cancelled", model=OPENAI)
    sending = asyncio.create_task(sdk.ask("send", chat=chat, text="Hi"))
    await sdk.ask("until", chat=chat, text="Rivers ")
    answers = [await ask(server.url, "POST", "/ai-sdk/chat/cancelled/cancel") for _ in range(2)]
    state = await sending
    assert (state["status"], state.get("error"), last_text(state)) == ("ready", None, "Rivers ")
    assert state["finishes"] == [{"isAbort": False, "isError": False}]
    assert [answer.json() for answer in answers] == [answers[0].json()] * 2
    assert (answers[0].status, answers[0].json()["status"]) == (200, "aborted")
    await model_server.has_seen_leave()


async def test_an_answer_anew(sdk: SDK, server: RunningServer) -> None:
    """An answer that is asked for again takes the place of the first, as a message of its own."""
    chat = await opened(sdk, server.url, "anew", model="simulated/n3-d1")
    first = await sdk.ask("send", chat=chat, text="Hi")
    second = await sdk.ask("regenerate", chat=chat)
    assert [len(state["messages"]) for state in (first, second)] == [2, 2]
    assert first["messages"][-1]["id"] != second["messages"][-1]["id"]


async def test_images(sdk: SDK) -> None:
    """A picture that the user adds reaches the model."""
    async with house() as server:
        server_chat = await opened(sdk, server.url, "images")
        files = [{"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,aGk="}]
        sending = asyncio.create_task(sdk.ask("send", chat=server_chat, text="What is it?", files=files))
        run = await server.tap.asked()
        run.start()
        run.say("A pixel.")
        run.finish()
        await sending
    assert [getattr(part, "data", None) for part in run.request.messages[0].parts] == ["aGk=", None]
