"""What the examples, the README and the page on the formats say, done as they say it."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest
import pytest_asyncio
from tests.reader import Reader, ask
from tests.server import RunningServer, running_server
from tests.system.curl import curl
from tests.system.endpoints import Endpoint
from tests.system.program import Program, program

from tailrace.errors import FailureCode

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT: Final = Path(__file__).parents[1]
EXAMPLES: Final = ROOT / "examples"
README: Final = (ROOT / "README.md").read_text("utf-8")
FORMATS: Final = (ROOT / "docs/formats.md").read_text("utf-8")
SAID_ADDRESS: Final = re.compile(r"(localhost|127\.0\.0\.1):8000")
STREAM: Final = Endpoint(method="POST", path="/v1/chat/stream", format="delta")

NEEDED: Final = {"/anthropic/stream": "ANTHROPIC_API_KEY", "/langchain/stream": "[providers.langchain]"}
"""What an endpoint needs that has a provider of its own."""

VALUES: Final[dict[str, Any]] = {
    "model": "simulated/n2-d0",
    "backend": "simulated",
    "system": "Be brief.",
    "system_prompt": "Be brief.",
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["\n"],
    "seed": 1,
    "tools": [{"type": "function", "function": {"name": "level", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "response_format": {"type": "json_object"},
    "reasoning_effort": "low",
    "user": "ada",
    "metadata": {"a": "b"},
    "on_disconnect": "continue",
}
"""Something to put into each field of a request that the page names."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[RunningServer]:
    """What `make run` starts, on another port."""
    async with running_server() as server:
        yield server


def commands(text: str) -> list[list[str]]:
    """The commands that a text shows in backticks, as a shell would split them."""
    shown = re.findall(r"`((?:curl|uvicorn) [^`]+)`", text.replace("\n", " "))
    return [shlex.split(command) for command in shown]


def at(url: str, command: list[str]) -> list[str]:
    """A curl command's arguments, with the server at `url` for the one that it names."""
    assert command[0] == "curl"
    assert SAID_ADDRESS.search(" ".join(command))
    return [SAID_ADDRESS.sub(url.removeprefix("http://"), argument) for argument in command[1:]]


# Examples


@asynccontextmanager
async def example(name: str) -> AsyncIterator[tuple[Program, list[str]]]:
    """Run an example as its docstring says; with it the arguments of the curl command that it shows."""
    docstring = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text("utf-8"))) or ""
    serve, request = commands(docstring)
    command = [sys.executable, "-m", *serve, "--port", "0"]
    async with program(*command, cwd=EXAMPLES, env={"PYTHONWARNINGS": "error"}) as running:
        yield running, at(running.url, request)


async def test_one_route() -> None:
    """The route streams what its own iterator yields, as it yields it, under the example's middleware."""
    async with example("one_route") as (_, arguments), curl("-i", *arguments) as client:
        await client.until('data: {"token":"1 ","done":false}')
        assert '"token":"20 "' not in client.output
        output = await client.whole()
    assert "x-time-to-status-ms: " in output
    assert [int(number) for number in re.findall(r'"token":"(\d+) "', output)] == list(range(1, 21))
    assert '"finish_reason":"stop"' in output
    assert client.reads[-1][0] - client.reads[0][0] > 20 * 0.05 / 2


async def test_one_route_with_a_blocking_iterator() -> None:
    """Its other route streams a blocking iterator in the other format."""
    async with example("one_route") as (running, _):
        answer = await ask(running.url, "GET", "/count/slowly?upto=5")
    assert (answer.text, answer.events[-1].data) == ("1 2 3 4 5 ", "[DONE]")


async def test_whole_gateway() -> None:
    """The mounted routes stream under their prefix, with the example's own model and its own users."""
    async with example("whole_gateway") as (running, arguments):
        async with curl(*arguments) as client:
            assert "data: [DONE]" in await client.whole()
        body = {"message": "one two", "model": "echo/echo"}
        answer = await ask(running.url, "POST", "/llm/v1/chat/stream", body, headers={"x-user": "ada"})
        assert answer.text == "one two "
        assert (await ask(running.url, "POST", "/llm/v1/chat/stream", body)).status == 401
        headline = await ask(running.url, "GET", "/headline?topic=rivers")
        assert headline.json() == {"headline": "A headline about rivers"}


# README


def consoles(text: str) -> list[tuple[str, list[str]]]:
    """The commands in a document's consoles, each with the lines that are shown below it."""
    blocks = re.findall(r"```console\n(.*?)```", text.replace("\\\n", ""), re.DOTALL)
    parts = [part.partition("\n") for block in blocks for part in re.split(r"(?m)^\$ ", block)[1:]]
    return [(command, [line for line in shown.split("\n") if line]) for command, _, shown in parts]


def masked(line: str) -> str:
    """A line without what is another one each time."""
    return re.sub(r"gen_[0-9a-f]+", "gen_X", line)


@pytest.mark.parametrize("document", ["README.md", "docs/index.md"])
async def test_shown_requests(server: RunningServer, document: str) -> None:
    """A request in the README or on the documentation's first page prints what stands below it, and then the rest."""
    said = [console for console in consoles((ROOT / document).read_text("utf-8")) if console[0].startswith("curl")]
    assert said
    for command, shown in said:
        async with curl(*at(server.url, shlex.split(command))) as client:
            output = await client.whole()
        lines = shown[: shown.index("⋮")] if "⋮" in shown else shown
        assert [masked(line) for line in output.split("\n")[: len(lines)]] == [masked(line) for line in lines]
        assert STREAM.finishes(output)


async def test_readme_first_line(tmp_path: Path) -> None:
    """What `make run` is said to print is what the server prints, but for its port."""
    [shown] = [lines for command, lines in consoles(README) if command == "make run"]
    arguments = ["-m", "tailrace", "serve", "--port", "0"]
    env = {"TAILRACE_DATA_DIR": str(tmp_path / "data")}
    async with program(sys.executable, *arguments, cwd=tmp_path, env=env) as running:
        printed = running.lines[0].rstrip("\n")
    assert [re.sub(r":\d+", ":8000", printed)] == shown


async def test_readme_table(server: RunningServer) -> None:
    """Each way to read an answer that the table names is there."""
    rows = re.findall(r"\| `(GET|POST) (/[^`?]+)(?:\?message=…)?` \|", README)
    assert len(rows) == 6
    for method, path in rows:
        target, body = (path, {"message": "Hi"}) if method == "POST" else (f"{path}?message=Hi", None)
        async with Reader(server.url) as reader:
            await reader.ask(method, target, body)
            assert (await reader.head()).status == 200, path


# The page on the formats


def table(heading: str, columns: int) -> list[list[str]]:
    """The rows of the table below the first line that begins with `heading`."""
    lines = FORMATS[FORMATS.index(heading) :].split("\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    own = [row for row in rows if len(row) == columns]
    return own[2:]


def said_endpoints() -> list[Endpoint]:
    """The endpoints of the page's first table."""
    found: list[Endpoint] = []
    for name, where, _ in table("# The formats", 3):
        for said in re.findall(r"`(GET|POST) (/[^`?]+)[^`]*`( with a bare array)?", where):
            method, path, array = said
            fields = {"method": method, "path": path, "format": name.strip("`"), "array": bool(array)}
            found.append(msgspec.convert(fields, Endpoint))
    return found


async def test_each_endpoint_speaks_the_format_it_is_said_to(server: RunningServer) -> None:
    """Each endpoint of the table answers in its format, whole; or says how to turn its provider on."""
    endpoints = said_endpoints()
    assert len(endpoints) == 9
    for endpoint in endpoints:
        if endpoint.path in NEEDED:
            refusal = await ask(server.url, "POST", endpoint.path, {"message": "Hi"})
            assert (refusal.status, NEEDED[endpoint.path] in refusal.json()["detail"]) == (503, True), endpoint
        else:
            reply = await endpoint.ask(server.url, "Hi", "simulated/n5-d0")
            assert (reply.status, bool(reply.text), reply.finished) == (200, True, "stop"), endpoint


async def test_the_whole_answer_is_as_shown(server: RunningServer) -> None:
    """The JSON document has the fields of the example, each of its kind."""
    [shown] = re.findall(r"```json\n(\{\"id\".*?\})\n```", FORMATS, re.DOTALL)
    answer = await ask(server.url, "POST", "/v1/chat", {"message": "Why do rivers meander?", "model": "simulated/d0"})
    assert kinds(answer.json()) == kinds(json.loads(shown))


async def test_delta_frames_are_as_shown(server: RunningServer) -> None:
    """The example's three frames have the names and fields of real ones, the ids counted as it says."""
    [shown] = re.findall(r"## delta\n\n```\n(.*?)```", FORMATS, re.DOTALL)
    answer = await ask(server.url, "POST", "/v1/chat/stream", {"message": "Hi", "model": "simulated/n7-d0"})
    frames = masked(answer.body.decode()).split("\n\n")
    for real, example in zip([frames[0], *frames[-3:-1]], shown.rstrip().split("\n\n"), strict=True):
        assert outline(real) == outline(example.replace("gen_…", "gen_X"))


async def test_every_field_of_a_request_is_known(server: RunningServer) -> None:
    """Each field that the page names is taken, and one that it does not name is refused with the nearest."""
    [named] = re.findall(r"Besides: (.*?)\. A field", FORMATS, re.DOTALL)
    fields = set(re.findall(r"`(\w+)`", named))
    assert fields == VALUES.keys()
    for field in fields:
        body = {"message": "Hi", "model": "simulated/n2-d0", field: VALUES[field]}
        answer = await ask(server.url, "POST", "/v1/chat", body)
        assert answer.status == 200, answer.body
    wrong = await ask(server.url, "POST", "/v1/chat", {"message": "Hi", "max_token": 5})
    assert wrong.status == 422
    assert "max_tokens" in wrong.json()["detail"]


async def test_reading_on_is_as_said(server: RunningServer) -> None:
    """A cursor resumes and never generates, 204 says that nothing is left, and a stream tells its state."""
    body = {"message": "Hi", "model": "simulated/n9-d0"}
    first = await ask(server.url, "POST", "/v1/chat/stream", body)
    middle, last = first.events[3].id, first.events[-1].id
    rest = await ask(server.url, "POST", "/v1/chat/stream", body, headers={"last-event-id": middle})
    assert rest.text == "".join(piece["delta"] for piece in first.objects[4:])
    assert (await ask(server.url, "GET", "/v1/chat?message=Hi", headers={"last-event-id": last})).status == 204
    where = f"/v1/streams/{first.headers['x-tailrace-stream']}"
    assert (await ask(server.url, "GET", where)).json()["text"] == first.text
    events = await ask(server.url, "GET", f"{where}?after=0&format=token", headers={"accept": "text/event-stream"})
    assert (events.text, events.events[-1].event) == (first.text, "done")
    assert (await ask(server.url, "POST", f"{where}/cancel")).json()["status"] == "finished"


@pytest.mark.parametrize("model", ["simulated/e400", "simulated/e401", "simulated/e500", "simulated/n9-d0-x4"])
async def test_codes_of_failure_are_real(server: RunningServer, model: str) -> None:
    """Every code in the page's last table is one that a stream can have, and a failure's code stands in it."""
    codes = {code for codes, _ in table("## How streams fail", 2) for code in re.findall(r"`(\w+)`", codes)}
    assert len(codes) > 10
    assert codes <= set(get_args(FailureCode))
    failure = (await STREAM.ask(server.url, "Hi", model)).failure
    assert failure is not None
    assert failure[0] in codes


def kinds(value: Any) -> Any:
    """A JSON document with the name of its type for each value."""
    if isinstance(value, dict):
        return {name: kinds(item) for name, item in value.items()}
    return type(value).__name__


def outline(frame: str) -> list[Any]:
    """A frame's lines: the names, an id's shape, and the kinds in JSON."""
    lines: list[Any] = []
    for line in frame.split("\n"):
        name, _, value = line.partition(": ")
        match name:
            case "id":
                lines.append((name, value))
            case "data" if value.startswith("{"):
                lines.append((name, kinds(json.loads(value))))
            case _:
                lines.append((name, value))
    return lines
