"""The AI SDK's `createOpenAI` as it is by default, which is the Responses API: a base URL, and nothing else changed."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from tests.server import running_server
from tests.system.stage import Stage
from tests.system.voices import REPORTED, OpenAIVoice
from tests.upstream import DEADLINE_S, chunk

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT: Final = Path(__file__).parents[1] / "js" / "ai_sdk_responses.mjs"
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "responses.md"
VOICE: Final = OpenAIVoice()
LOOK: Final = {"look": {"type": "object", "properties": {"at": {"type": "string"}}}}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url(stage: Stage) -> AsyncIterator[str]:
    async with running_server(env=stage.env) as server:
        yield f"{server.url}/v1"


async def converse(url: str, *prompts: str, **options: Any) -> list[Any]:
    """What each turn of a conversation came to, in a Node process of its own."""
    asked = json.dumps({"baseURL": url, "prompts": prompts, **options})
    turns: list[Any] = json.loads(await run_node(str(SCRIPT), asked))
    return turns


async def run_node(*arguments: str) -> str:
    """What Node prints, run where the tests' packages are."""
    node = shutil.which("node")
    assert node is not None, "node is not on the path: make test puts it there"
    process = await asyncio.create_subprocess_exec(
        node, *arguments, cwd=SCRIPT.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(4 * DEADLINE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    return out.decode()


def call(number: int, arguments: str) -> bytes:
    """A call of `look` as an upstream of OpenAI's sends it."""
    function = {"name": "look", "arguments": arguments}
    piece = {"index": number, "id": f"call_{number}", "type": "function", "function": function}
    data = {"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]}
    return chunk(f"data: {json.dumps(data)}\n\n".encode())


def asked_of(stage: Stage) -> list[Any]:
    """The messages that the upstream was asked last."""
    messages: list[Any] = json.loads(stage.upstream.requests[-1].body)["messages"]
    return messages


async def test_text_and_usage(url: str, stage: Stage) -> None:
    """The text comes in pieces, with the upstream's usage and an end in order."""
    stage.set("Rivers?", [VOICE.head, VOICE.say("They "), VOICE.say("meander."), VOICE.end("stop")])
    (turn,) = await converse(url, "Rivers?", model="openai/m")
    assert (turn["text"], turn["finishReason"], turn["error"]) == ("They meander.", "stop", None)
    assert (turn["usage"]["inputTokens"], turn["usage"]["outputTokens"]) == REPORTED
    assert turn["types"].count("text-delta") == 2


async def test_a_conversation_by_reference(url: str, stage: Stage) -> None:
    """From its second turn on the client sends the ids of what was said: the upstream is asked the words."""
    for prompt, answer in {"One?": "1", "Two?": "2", "Three?": "3"}.items():
        stage.set(prompt, [VOICE.head, VOICE.say(answer), VOICE.end("stop")])
    turns = await converse(url, "One?", "Two?", "Three?", model="openai/m")
    assert [(turn["text"], turn["error"]) for turn in turns] == [("1", None), ("2", None), ("3", None)]
    assert [message["content"] for message in asked_of(stage)] == ["One?", "1", "Two?", "2", "Three?"]


async def test_tools_go_around(url: str, stage: Stage) -> None:
    """Two calls at once reach the client with their input, and their outputs the model, which then answers."""
    calls = (call(0, '{"at":"a"}'), call(1, '{"at":"b"}'))
    stage.set("Look twice!", [VOICE.head, VOICE.say("Wait."), *calls, VOICE.end("stop")])
    stage.set("seen", [VOICE.head, VOICE.say("Seen."), VOICE.end("stop")])
    (turn,) = await converse(url, "Look twice!", model="openai/m", tools=LOOK, steps=3)
    assert turn["error"] is None
    assert [made["input"] for made in turn["calls"]] == [{"at": "a"}, {"at": "b"}]
    assert (turn["text"], turn["finishReason"]) == ("Wait.Seen.", "stop")
    _, called, *answered = asked_of(stage)
    assert [made["id"] for made in called["tool_calls"]] == [message["tool_call_id"] for message in answered]
    assert [json.loads(message["content"]) for message in answered] == [{"seen": {"at": "a"}}, {"seen": {"at": "b"}}]


@pytest.mark.parametrize("stored", [True, False])
async def test_reasoning(url: str, stored: bool) -> None:
    """Reasoning is shown as such, and goes back in the next turn, by reference or in full."""
    options = {} if stored else {"providerOptions": {"openai": {"store": False}}}
    turns = await converse(url, "Think!", "Again!", model="simulated/n9-d1-r4", **options)
    for turn in turns:
        assert (turn["error"], turn["finishReason"]) == (None, "stop")
        assert turn["reasoning"]
        assert turn["text"]
        assert turn["usage"]["outputTokenDetails"]["reasoningTokens"] == 4


async def test_a_stream_that_breaks_off(url: str) -> None:
    """What came before is there, and then an error that says why, once."""
    (turn,) = await converse(url, "Break!", model="simulated/n9-d1-x3")
    assert turn["text"]
    assert "broke off after 3 tokens" in turn["error"]
    assert (turn["types"].count("error"), turn["finishReason"]) == (1, "error")


async def test_a_refusal(url: str) -> None:
    """An unknown model is an error in our words."""
    (turn,) = await converse(url, "Hi", model="nope")
    assert "there is no model 'nope'" in turn["error"]


async def test_an_answer_that_is_too_long(url: str, stage: Stage) -> None:
    """An answer that met its limit says so."""
    stage.set("Long?", [VOICE.head, VOICE.say("They"), VOICE.end("length")])
    (turn,) = await converse(url, "Long?", model="openai/m")
    assert (turn["text"], turn["finishReason"]) == ("They", "length")


async def test_the_documentation_s_program(url: str) -> None:
    """The JavaScript of the documentation runs as it stands, at this server."""
    (program,) = re.findall(r"```javascript\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    program = program.replace("http://127.0.0.1:8000/v1", url).replace("tr_…", "any text")
    assert "A simulated answer" in await run_node("--input-type=module", "--eval", program)


async def test_an_abort_stops_the_upstream(url: str, stage: Stage) -> None:
    """A client that aborts leaves, and the upstream's connection is closed."""
    stage.set("Abort!", [VOICE.head, VOICE.say("Hel"), asyncio.Event()])
    (turn,) = await converse(url, "Abort!", model="openai/m", abortOn="text-delta")
    assert "abort" in turn["types"]
    await stage.left("Abort!")
