"""What the page on the AI SDK shows does what it says."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from tests.dialects.ai_sdk.sdk import SCRIPTS
from tests.reader import ask
from tests.server import running_server
from tests.upstream import DEADLINE_S

PAGE: Final = Path(__file__).parents[2] / "docs" / "ai-sdk.md"
USE, SESSION, TOLD, CANCEL = re.findall(r"^```tsx?\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)

PROGRAM: Final = """
import { DefaultChatTransport } from "ai";
import { useChat } from "./ai_sdk_chat.mjs";
const [api, chatId, headers] = ["URL/ai-sdk/chat", "river", {}];
const show = (value) => console.log(JSON.stringify(value));
"""


async def run(program: str, url: str) -> Any:
    """What a program of the page's parts shows."""
    node = shutil.which("node")
    assert node is not None, "node is not on the path: make test puts it there"
    process = await asyncio.create_subprocess_exec(
        *(node, "--input-type=module", "-"),
        cwd=SCRIPTS,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S):
        output, _ = await process.communicate(program.replace("URL", url).encode())
    return json.loads(output)


@pytest.fixture
def use() -> str:
    """The page's first example, with the chat of our own in the place of React's."""
    page = USE.replace("@ai-sdk/react", "./ai_sdk_chat.mjs").replace("http://127.0.0.1:8000", "URL")
    page = page.replace("tr_…", "any text")
    return f'const chatId = "river";\n{page}await sendMessage({{ text: "Hi" }});\n'


async def test_use_chat(use: str) -> None:
    """The options of the first example are all that a chat needs."""
    async with running_server() as server:
        state = await run(f"{use}console.log(JSON.stringify(useChat.latest.describe()));", server.url)
    assert (state["status"], state["messages"][-1]["metadata"]["model"]) == ("ready", "simulated")


async def test_sessions() -> None:
    """A chat that sends only what is new is kept whole."""
    asking = 'await sendMessage({ text: "One" }); await sendMessage({ text: "Two" });'
    program = f"{PROGRAM}{SESSION}const {{ sendMessage }} = useChat({{ id: chatId, transport }});{asking}show(0)"
    async with running_server() as server:
        await run(program, server.url)
        session = await ask(server.url, "GET", "/v1/sessions/river")
    assert [message["role"] for message in session.json()["messages"]] == ["user", "assistant"] * 2
    assert [message["content"] for message in session.json()["messages"]][::2] == ["One", "Two"]


async def test_errors() -> None:
    """The words of a refusal are found where the page looks for them."""
    failing = 'const transport = new DefaultChatTransport({ api, body: { model: "nope" } });'
    asking = 'const chat = useChat({ id: chatId, transport }); await chat.sendMessage({ text: "Hi" });'
    program = f"{PROGRAM}{failing}{asking}const {{ error }} = useChat.latest;{TOLD}show(told)"
    async with running_server() as server:
        assert "there is no model 'nope'" in await run(program, server.url)


async def test_cancel() -> None:
    """The page's request stops the answer under way."""
    slow = 'const transport = new DefaultChatTransport({ api, body: { model: "simulated/n500-d20" } });'
    asking = 'const chat = useChat({ id: chatId, transport }); const sending = chat.sendMessage({ text: "Hi" });'
    until = 'await useChat.latest.until("streaming");'
    program = f"{PROGRAM}{slow}{asking}{until}{CANCEL}await sending;show(await stopped.json())"
    async with running_server() as server:
        assert (await run(program, server.url))["status"] == "aborted"
