"""What the pages on clients show does what it says: programs and commands run, settings lead to answers."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from tests.dialects.ai_sdk.sdk import SCRIPTS
from tests.matrix.conversation import PNG
from tests.reader import ask
from tests.server import RunningServer, running_server
from tests.system.messages import KEY
from tests.upstream import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES: Final = Path(__file__).parents[2] / "docs/clients"
FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SETTING: Final = re.compile(r"^[ -]*(\w+): +(\S.*)$", re.MULTILINE)
HOST: Final = "http://127.0.0.1:8000"


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks in this language."""
    return [body for kind, body in FENCE.findall(page.read_text("utf-8")) if kind == language]


def shown(language: str) -> list[Any]:
    """Each block of this language on any page, after those before it on its page where they belong together."""
    found: list[Any] = []
    for page in sorted(PAGES.glob("*.md")):
        parts = blocks(page, language)
        programs = ["\n".join(parts)] if parts and language == "python" else parts
        found += [pytest.param(body, id=f"{page.stem}-{number}") for number, body in enumerate(programs)]
    return found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[RunningServer]:
    """A server that lets nobody in without the key."""
    async with running_server(env={"TAILRACE_ADMIN_KEY": KEY}) as server:
        yield server


def aimed(text: str, server: RunningServer) -> str:
    """The text with this server's address and a key that is right."""
    assert HOST in text
    return text.replace(HOST, server.url).replace("tr_…", KEY)


async def run(*command: str) -> str:
    """What a command prints; it must end well, and complain of nothing."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=SCRIPTS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(6 * DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("program", shown("python"))
async def test_python(server: RunningServer, program: str) -> None:
    """The page's Python, one block after the other, prints an answer."""
    assert "imulated" in await run(sys.executable, "-W", "error", "-c", aimed(program, server))


@pytest.mark.parametrize("program", shown("javascript"))
async def test_javascript(server: RunningServer, program: str) -> None:
    """So does each of its JavaScript programs."""
    node = shutil.which("node")
    assert node is not None, "node is not on the path: make test puts it there"
    assert "A simulated answer" in await run(node, "--input-type=module", "--eval", aimed(program, server))


@pytest.mark.parametrize("command", [found for found in shown("sh") if "curl " in found.values[0]])
async def test_curl(server: RunningServer, command: str) -> None:
    """Each command line is answered."""
    assert "imulated" in await run("sh", "-c", aimed(command, server))


class App(msgspec.Struct, frozen=True):
    """An application that can't run here: where its settings hold the address, the key and the model."""

    address: str
    key: str
    model: str
    requests: list[dict[str, Any]]
    """The bodies that it sends to the chat completions; `MODEL` stands for the model."""
    lists: bool = False
    """Whether it asks for the models first."""


def settings_of(page: str) -> dict[str, str]:
    """The settings that a page shows, by their names, however deep they lie; of one name the first."""
    path = PAGES / f"{page}.md"
    shown = [*blocks(path, "yaml"), *(text.replace("export ", "").replace("=", ": ") for text in blocks(path, "sh"))]
    found: dict[str, str] = {}
    for name, value in SETTING.findall("\n".join(shown)):
        found.setdefault(name, value)
    return found


ASKS: Final = [{"role": "user", "content": "Hi"}]
USAGE: Final = {"include_usage": True}
LOOK: Final = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
TOOLS: Final = [{"type": "function", "function": LOOK}]
CALL: Final = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
PICTURE: Final = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}

APPS: Final = {
    "llm": App(
        "api_base",
        "api_key_name",
        "model_name",
        [
            {"model": "MODEL", "stream": True, "messages": ASKS, "stream_options": USAGE},
            {"model": "MODEL", "stream": False, "messages": [{"role": "system", "content": "Be brief."}, *ASKS]},
            {"model": "MODEL", "stream": True, "messages": ASKS, "stream_options": USAGE, "tools": TOOLS},
        ],
    ),
    "continue": App(
        "apiBase",
        "apiKey",
        "model",
        [
            {
                "messages": [{"role": "system", "content": "Be brief."}, *ASKS],
                "model": "MODEL",
                "max_tokens": 2048,
                "stream": True,
                "tools": TOOLS,
                "stream_options": USAGE,
            },
            {
                "messages": [
                    *ASKS,
                    {"role": "assistant", "content": " ", "tool_calls": [CALL]},
                    {"role": "tool", "content": "It is dark.", "tool_call_id": "call_1"},
                ],
                "model": "MODEL",
                "max_tokens": 2048,
                "stream": True,
                "stream_options": USAGE,
            },
        ],
    ),
    "open-webui": App(
        "OPENAI_API_BASE_URL",
        "OPENAI_API_KEY",
        "",
        [
            {
                "stream": True,
                "model": "MODEL",
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, PICTURE]}],
                "stream_options": USAGE,
            },
            {"model": "MODEL", "messages": ASKS, "stream": False, "max_completion_tokens": 1000},
        ],
        lists=True,
    ),
    "librechat": App(
        "baseURL",
        "apiKey",
        "titleModel",
        [
            {"model": "MODEL", "user": "66f0c0ffee", "stream": True, "stream_options": USAGE, "messages": ASKS},
            {"model": "MODEL", "temperature": 0.2, "presence_penalty": 0, "frequency_penalty": 0, "messages": ASKS},
        ],
        lists=True,
    ),
}
"""Where each is from, the pages say."""


@pytest.mark.parametrize("name", APPS)
async def test_an_application_that_cannot_run_here(server: RunningServer, name: str) -> None:
    """Its settings as the page shows them, and the requests that it sends, lead to whole answers."""
    app, settings = APPS[name], settings_of(name)
    base = aimed(settings[app.address], server).removeprefix(server.url)
    key = settings[app.key].replace("tr_…", KEY) if app.key != "api_key_name" else KEY
    headers = {"authorization": f"Bearer {key}"}
    model = settings.get(app.model, "simulated")
    if app.lists:
        listed = await ask(server.url, "GET", f"{base}/models", headers=headers)
        assert model in [found["id"] for found in listed.json()["data"]]
    written = json.dumps(app.requests).replace('"MODEL"', json.dumps(model))
    asking = (
        ask(server.url, "POST", f"{base}/chat/completions", body, headers=headers) for body in json.loads(written)
    )
    for body, answered in zip(app.requests, await asyncio.gather(*asking), strict=True):
        assert answered.status == 200
        if body.get("stream"):
            assert answered.body.endswith(b"data: [DONE]\n\n")
            assert b'"usage":{"prompt_tokens":' in answered.body
        else:
            assert answered.json()["choices"][0]["message"]["content"]


async def test_each_page_is_listed() -> None:
    """Every page on a client is found from the one that lists them, and in the site's contents."""
    listing = (PAGES.parent / "clients.md").read_text("utf-8")
    contents = (PAGES.parents[1] / "mkdocs.yml").read_text("utf-8")
    for page in PAGES.glob("*.md"):
        assert f"](clients/{page.name})" in listing
        assert f" clients/{page.name}\n" in contents
