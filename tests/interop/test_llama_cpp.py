"""llama.cpp's own server, with a tiny model made for the occasion: an upstream that tells nothing of usage."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from tests.interop.tiny_model import CONTEXT, WORDS, make_model
from tests.reader import Reader, ask
from tests.server import RunningServer, running_server
from tests.system.endpoints import ENDPOINTS, Endpoint
from tests.system.program import Program, program
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tailrace"
PYTHON: Final = CACHE / "llama-cpp/bin/python"
MODEL: Final = "llama/tiny"
GREEDY: Final[dict[str, Any]] = {"model": MODEL, "message": "Why do rivers bend?", "temperature": 0}
CAP: Final = 30
"""How many tokens it may say where a request names no number."""

ENDLESS: Final = CONTEXT - 1000
"""More tokens than it could say while a test looks."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def llama(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """The server as its package starts it."""
    assert PYTHON.exists(), "llama.cpp's server is missing: run `sh scripts/install-llama-cpp.sh .venv/bin/python`"
    folder = tmp_path_factory.mktemp("llama")
    make_model(folder / "tiny.gguf")
    options = ["--model", "tiny.gguf", "--n_ctx", str(CONTEXT), "--verbose", "false"]
    env = {"HOST": "127.0.0.1", "PORT": "0", "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
    async with program(str(PYTHON), "-m", "llama_cpp.server", *options, cwd=folder, env=env) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(llama: Program) -> AsyncIterator[RunningServer]:
    """A tailrace for which it is one more OpenAI-compatible server."""
    config = f'[providers.llama]\nkind = "openai"\nbase_url = "{llama.url}/v1"\ndefault_model = "tiny"\n'
    async with running_server(env={"TAILRACE_MAX_TOKENS": str(CAP)}, config=config) as server:
        yield server


async def said_by_itself(llama: Program, max_tokens: int) -> str:
    """What the server answers when it is asked without us and without a stream."""
    messages = [{"role": "user", "content": GREEDY["message"]}]
    body = {"model": "tiny", "messages": messages, "temperature": 0, "max_tokens": max_tokens}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{llama.url}/v1/chat/completions", json=body)
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])


async def test_tokens_come_through(server: RunningServer, llama: Program) -> None:
    """The text is what the server says without us, in as many frames as it said tokens, and ends for its reason."""
    answer = await ask(server.url, "POST", "/v1/chat/stream", {**GREEDY, "max_tokens": 40})
    pieces = [piece["delta"] for piece in answer.objects if piece["delta"]]
    assert len(pieces) == 40
    assert {piece.strip() for piece in pieces} <= set(WORDS)
    assert answer.text == await said_by_itself(llama, 40)
    assert answer.objects[-1]["finish_reason"] == "length"


async def test_usage_is_counted(server: RunningServer) -> None:
    """What the upstream does not tell is counted by us and labelled so, never zero."""
    answer = await ask(server.url, "POST", "/v1/chat/stream", {**GREEDY, "max_tokens": 40})
    usage = answer.objects[-1]["usage"]
    assert usage["source"] in {"counted", "estimated"}
    assert usage["input_tokens"] > 5
    assert 20 <= usage["output_tokens"] <= 80


async def test_stop_sequence(server: RunningServer, llama: Program) -> None:
    """A stop sequence reaches the server, and its finish reason comes back."""
    word = (await said_by_itself(llama, 40)).split()[3]
    answer = await ask(server.url, "POST", "/v1/chat/stream", {**GREEDY, "max_tokens": 40, "stop": [f" {word}"]})
    assert word not in answer.text.split()
    assert answer.objects[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
async def test_each_endpoint(server: RunningServer, endpoint: Endpoint) -> None:
    """Every endpoint carries its answer whole, here up to the cap that is set, with the reason why it ended."""
    reply = await endpoint.ask(server.url, "Why?", MODEL)
    assert (reply.status, reply.finished) == (200, "length")
    assert set(reply.text.split()) & set(WORDS)


async def test_a_reader_that_leaves_stops_it(server: RunningServer, llama: Program) -> None:
    """When the only reader leaves in mid-answer, the server is told and stops; what came so far is counted."""
    said = len(llama.lines)
    async with Reader(server.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", {**GREEDY, "max_tokens": ENDLESS})
        answer = await reader.until(b'"delta"', times=5)
        stream_id = answer.headers["x-tailrace-stream"]
        reader.leave()
    await until(lambda: any("Disconnected from client" in line for line in llama.lines[said:]))
    state = (await ask(server.url, "GET", f"/v1/streams/{stream_id}")).json()
    assert (state["status"], state["error"]["code"]) == ("aborted", "cancelled")
    assert state["usage"]["source"] in {"counted", "estimated"}
    assert 0 < state["usage"]["output_tokens"] < ENDLESS / 2
