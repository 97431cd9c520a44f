"""Ollama's own Python client against a running server: it is given a host, and nothing else is changed."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import ollama
import pytest
import pytest_asyncio
from tests.reader import ask
from tests.server import RunningServer, running_server, serving
from tests.upstream import DEADLINE_S, Script, ScriptedUpstream, Step, chunk, chunked_head

from tailrace import Settings, create_app
from tailrace.settings import Kind, ProviderSettings, Secret

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIRE: Final = Path(__file__).parents[1] / "wire"
DOCUMENT: Final = Path(__file__).parents[2] / "docs/ollama.md"
QUESTION: Final = [{"role": "user", "content": "Why do rivers meander?"}]
PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ADMIN_KEY: Final = "tr_admin_" + "k" * 43
WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def says(*deltas: dict[str, Any], finish: str | None = "stop") -> Script:
    """An OpenAI-compatible answer of these deltas; without a `finish` it breaks off."""
    choices = [{"index": 0, "delta": delta} for delta in deltas]
    if finish is not None:
        choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    frames = [b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n" for choice in choices]
    end = [Step.CLOSE] if finish is None else [chunk(b"data: [DONE]\n\n"), chunk(b"")]
    return [chunked_head(), *map(chunk, frames), *end]


def replays(recording: str, content_type: str = "text/event-stream") -> Script:
    """A recorded answer."""
    return [chunked_head(content_type=content_type), chunk((WIRE / recording).read_bytes()), chunk(b"")]


@asynccontextmanager
async def between(
    script: Script, *, kind: Kind = "openai"
) -> AsyncIterator[tuple[ollama.AsyncClient, ScriptedUpstream]]:
    """A client of a server whose provider `up` answers by this script, and the upstream."""
    async with ScriptedUpstream(script) as upstream:
        settings = Settings(providers={"up": ProviderSettings(kind=kind, base_url=upstream.url)})
        async with serving(create_app(settings)) as url, ollama.AsyncClient(url, trust_env=False) as client:
            yield client, upstream


def sent(upstream: ScriptedUpstream) -> Any:
    """The body that the upstream got last."""
    return json.loads(upstream.requests[-1].body)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: RunningServer) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(server.url, trust_env=False) as client:
        yield client


# Answers


async def test_a_stream_is_the_whole_answer(client: ollama.AsyncClient) -> None:
    """The pieces of a stream make up the text of the answer that is not streamed; the figures are numbers."""
    parts = [part async for part in await client.chat("simulated/n30-d1", QUESTION, stream=True)]
    whole = await client.chat("simulated/n30-d1", QUESTION)
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    for end in (parts[-1], whole):
        assert (end.model, end.done_reason, end.eval_count) == ("simulated/n30-d1", "stop", 30)
        assert end.prompt_eval_count
        assert (end.prompt_eval_duration or 0) + (end.eval_duration or 0) == pytest.approx(end.total_duration, abs=2)
        assert (end.created_at or "").endswith("Z")


async def test_the_blocking_client_reads_the_same(server: RunningServer) -> None:
    """So it is with the client that is not asynchronous, and for generate."""

    def read() -> tuple[str, str, str]:
        with ollama.Client(server.url, trust_env=False) as client:
            chat = "".join(
                part.message.content or "" for part in client.chat("simulated/n20-d1", QUESTION, stream=True)
            )
            prompt = QUESTION[0]["content"]
            parts = list(client.generate("simulated/n20-d1", prompt, stream=True))
            whole = client.generate("simulated/n20-d1", prompt)
            assert parts[-1].done_reason == whole.done_reason == "stop"
            assert whole.context is None
            return chat, "".join(part.response or "" for part in parts), whole.response or ""

    chat, streamed, whole = await asyncio.to_thread(read)
    assert chat == streamed == whole != ""


async def test_tool_calls_at_once_and_their_results() -> None:
    """Two calls come whole, with their arguments as objects; their results find them though the client drops ids."""
    async with between(replays("openai_tools.sse")) as (client, upstream):
        parts = [part async for part in await client.chat("up/m", QUESTION, tools=[WEATHER], stream=True)]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        assert [(call.function.name, call.function.arguments) for call in calls] == [
            ("get_weather", {"city": "Bern"}),
            ("get_time", {"zone": "CET"}),
        ]
        assert (parts[-1].prompt_eval_count, parts[-1].eval_count) == (76, 40)
        assert sent(upstream)["tools"][0]["function"] == WEATHER["function"]
        assistant = ollama.Message(role="assistant", tool_calls=calls)
        results = [
            ollama.Message(role="tool", tool_name="get_time", content="noon"),
            ollama.Message(role="tool", tool_name="get_weather", content="rain"),
        ]
        await client.chat("up/m", [*QUESTION, assistant, *results])
        made, *answered = sent(upstream)["messages"][1:]
        ids = {call["function"]["name"]: call["id"] for call in made["tool_calls"]}
        assert [json.loads(call["function"]["arguments"]) for call in made["tool_calls"]] == [
            {"city": "Bern"},
            {"zone": "CET"},
        ]
        assert [(turn["tool_call_id"], turn["content"]) for turn in answered] == [
            (ids["get_time"], "noon"),
            (ids["get_weather"], "rain"),
        ]


async def test_thinking(client: ollama.AsyncClient) -> None:
    """Reasoning comes as thinking, before the content, streamed and whole."""
    parts = [part async for part in await client.chat("simulated/n5-d1-r4", QUESTION, think=True, stream=True)]
    thought = "".join(part.message.thinking or "" for part in parts)
    whole = await client.chat("simulated/n5-d1-r4", QUESTION, think="high")
    assert thought == whole.message.thinking != ""
    generated = await client.generate("simulated/n5-d1-r4", QUESTION[0]["content"], think=True)
    assert generated.thinking == thought


async def test_what_is_asked_reaches_an_openai_upstream() -> None:
    """Options, a schema, an image and the wish to think become the upstream's own words."""
    schema = {"type": "object", "properties": {"why": {"type": "string"}}, "required": ["why"]}
    async with between(says({"content": '{"why":"sand"}'})) as (client, upstream):
        answer = await client.chat(
            "up/m:latest",
            [{"role": "user", "content": "What is this?", "images": [PNG]}],
            format=schema,
            think="low",
            options={"temperature": 0.5, "top_p": 0.9, "seed": 7, "num_predict": 50, "stop": ["END"], "num_ctx": 8192},
            keep_alive="5m",
        )
        assert json.loads(answer.message.content or "") == {"why": "sand"}
        body = sent(upstream)
        image = body["messages"][0]["content"][1]["image_url"]["url"]
        assert image == "data:image/png;base64," + base64.b64encode(PNG).decode()
        assert body["response_format"]["json_schema"]["schema"] == schema
        assert (body["model"], body["temperature"], body["top_p"], body["seed"]) == ("m", 0.5, 0.9, 7)
        assert (body["max_tokens"], body["stop"], body["reasoning_effort"]) == (50, ["END"], "low")
        assert not body.keys() & {"options", "keep_alive", "think", "num_ctx"}


async def test_what_is_asked_reaches_an_ollama_upstream_as_it_was() -> None:
    """An upstream that is an Ollama gets each option, `think` and `keep_alive` as the client wrote them."""
    options = {"temperature": 0.5, "mirostat": 2, "num_ctx": 8192, "num_predict": -1, "seed": -1, "min_p": 0.1}
    async with between(replays("ollama_text.ndjson", "application/x-ndjson"), kind="ollama") as (client, upstream):
        messages = [{"role": "user", "content": "What is this?", "images": [PNG]}]
        answer = await client.chat(
            "up/m:latest", messages, format="json", options=options, think=True, keep_alive=-1, logprobs=True
        )
        assert answer.done_reason == "stop"
        body = sent(upstream)
        assert body["options"] == options
        assert (body["think"], body["keep_alive"], body["format"], body["logprobs"]) == (True, -1, "json", True)
        assert body["model"] == "m:latest"
        assert body["messages"] == [{**messages[0], "images": [base64.b64encode(PNG).decode()]}]


async def test_what_only_an_ollama_understands_is_refused_elsewhere() -> None:
    """An option that the upstream has no word for is a 400 that names it, and nothing is asked."""
    async with between(says({"content": "Hi"})) as (client, upstream):
        with pytest.raises(ollama.ResponseError, match="mirostat") as caught:
            await client.chat("up/m", QUESTION, options={"mirostat": 2})
        assert caught.value.status_code == 400
        assert upstream.requests == []


# Ends


async def test_a_stream_that_breaks_off_raises(client: ollama.AsyncClient, server: RunningServer) -> None:
    """An upstream that is cut in mid-stream is an exception to both clients, never a quiet end."""
    stream = await client.chat("simulated/n9-x3", QUESTION, stream=True)
    assert [(await anext(stream)).done for _ in range(3)] == [False] * 3
    with pytest.raises(ollama.ResponseError, match="broke off after 3 tokens"):
        await anext(stream)

    def read() -> None:
        with ollama.Client(server.url, trust_env=False) as blocking:
            list(blocking.generate("simulated/n9-x3", "Hi", stream=True))

    with pytest.raises(ollama.ResponseError, match="broke off after 3 tokens"):
        await asyncio.to_thread(read)


async def test_a_client_that_leaves_stops_the_upstream() -> None:
    """Closing the stream closes the upstream's connection."""
    first = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}).encode() + b"\n\n"
    async with between([chunked_head(), chunk(first), Step.STALL]) as (client, upstream):
        stream = cast("AsyncGenerator[ollama.ChatResponse, None]", await client.chat("up/m", QUESTION, stream=True))
        assert (await anext(stream)).message.content == "Hi"
        await stream.aclose()
        await upstream.closed_by(1)
        assert upstream.closed[0].by_peer


async def test_refusals_are_the_clients_own_errors(client: ollama.AsyncClient) -> None:
    """An unknown model, an upstream's 429, an image by URL and a result without its call raise with their status."""
    for model, messages, status, told in (
        ("nope", QUESTION, 404, "not found"),
        ("simulated/e429", QUESTION, 429, ""),
        ("gpt-4o", QUESTION, 503, "OPENAI_API_KEY"),
        ("simulated", [{"role": "tool", "content": "x"}], 400, "messages[0]: no assistant message"),
        ("simulated", [{"role": "robot", "content": "x"}], 400, "messages[0].role"),
    ):
        with pytest.raises(ollama.ResponseError) as caught:
            await client.chat(model, messages)
        assert caught.value.status_code == status
        assert told in caught.value.error
    with pytest.raises(ollama.ResponseError, match="suffix: is not supported"):
        await client.generate("simulated", "def f(", suffix="return x")
    with pytest.raises(ollama.ResponseError, match="context: is not supported"):
        await client.generate("simulated", "Hi", context=[1, 2])


# Models


async def test_models_are_listed_shown_and_loaded(client: ollama.AsyncClient, server: RunningServer) -> None:
    """Each listed name can be shown, loaded and asked; none runs; the default tag changes nothing."""
    names = [model.model or "" for model in (await client.list()).models]
    assert "simulated" in names
    shown = await client.show("simulated:latest")
    assert "completion" in (shown.capabilities or ())
    assert (await client.ps()).models == []
    loaded = await client.generate("simulated")
    assert (loaded.done, loaded.done_reason, loaded.response) == (True, "load", "")
    unloaded = await client.chat("simulated", keep_alive=0)
    assert (unloaded.done_reason, unloaded.message.content) == ("unload", "")
    tagged = await client.chat("simulated/n3-d1:latest", QUESTION)
    assert tagged.message.content == (await client.chat("simulated/n3-d1", QUESTION)).message.content
    version = (await ask(server.url, "GET", "/api/version")).json()["version"]
    assert [int(number) for number in version.split(".")] >= [0, 6, 4]
    with pytest.raises(ollama.ResponseError) as caught:
        await client.show("nope")
    assert caught.value.status_code == 404


async def test_what_the_command_line_asks_first(server: RunningServer) -> None:
    """`ollama run` looks whether the server is there, shows the model and loads it, before it chats."""
    assert (await ask(server.url, "HEAD", "/")).status == 200
    shown = await ask(server.url, "POST", "/api/show", {"model": "simulated", "system": "", "template": ""})
    assert (shown.status, shown.json()["details"]["family"]) == (200, "simulated")
    loaded = await ask(server.url, "POST", "/api/generate", {"model": "simulated", "prompt": "", "options": None})
    assert (loaded.status, loaded.json()["done_reason"]) == (200, "load")
    tags = (await ask(server.url, "GET", "/api/tags")).json()["models"]
    assert all(len(model["digest"]) == 64 and model["name"] == model["model"] for model in tags)


async def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that the client reads from OLLAMA_API_KEY lets it in; without one it is refused in its own words."""
    async with serving(create_app(Settings(admin_key=Secret(ADMIN_KEY)))) as url:
        async with ollama.AsyncClient(url, trust_env=False) as stranger:
            with pytest.raises(ollama.ResponseError) as caught:
                await stranger.chat("simulated", QUESTION)
        assert caught.value.status_code == 401
        monkeypatch.setenv("OLLAMA_API_KEY", ADMIN_KEY)
        async with ollama.AsyncClient(url, trust_env=False) as client:
            assert (await client.chat("simulated/n3-d1", QUESTION)).done_reason == "stop"
            assert "simulated" in [model.model for model in (await client.list()).models]


# Coming back


async def test_resume_by_the_number_of_an_entry(server: RunningServer) -> None:
    """Lines have no ids; `?after=` gives the rest, byte for byte, and a cursor inside an entry is refused."""
    body = {"model": "simulated/n5-d1-t1", "messages": QUESTION}
    answer = await ask(server.url, "POST", "/api/chat", body)
    assert answer.headers["content-type"] == "application/x-ndjson"
    stream = answer.headers["x-tailrace-stream"]
    lines = answer.body.splitlines(keepends=True)
    for after in range(4):
        headers = {"accept": "application/x-ndjson"}
        resumed = await ask(server.url, "GET", f"/v1/streams/{stream}?format=ollama&after={after}", headers=headers)
        rest = [json.loads(line) for line in resumed.body.splitlines()]
        assert rest[-1]["done"] is True
        assert resumed.body.splitlines(keepends=True)[-2:] == lines[-2:]
    for place in (f"{stream}.3.1", f"{stream}.9.1"):
        cursor = {"last-event-id": place, "accept": "application/x-ndjson"}
        refused = await ask(server.url, "GET", f"/v1/streams/{stream}?format=ollama", headers=cursor)
        assert (refused.status, refused.json()["code"]) == (400, "bad_cursor")


# The documents


async def test_the_documents_program(server: RunningServer) -> None:
    """The program that docs/ollama.md shows prints the whole answer, and what it shows for curl is answered."""
    document = DOCUMENT.read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program.replace("http://127.0.0.1:8000", server.url)), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        printed, _ = await process.communicate()
    (body,) = re.findall(r"-d '(.*?)'", document)
    answer = await ask(server.url, "POST", "/api/chat", body.encode(), headers={"content-type": "application/json"})
    text = "".join(json.loads(line)["message"]["content"] for line in answer.body.splitlines())
    assert printed.decode() == text != ""
