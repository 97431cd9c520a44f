"""`useChat` of `@ai-sdk/react`, mounted on a page in a real Chromium, against a running server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, expect
from tests.browser.use_chat import SCRIPTS, UseChatPage, bundle
from tests.server import RunningServer
from tests.system.endpoints import whole_answer
from tests.system.model_server import ModelServer
from tests.upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI: Final = "openai/gpt-4o-mini"
DOCS: Final = Path(__file__).parents[2] / "docs" / "ai-sdk.md"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def script() -> str:
    return await bundle((SCRIPTS / "use_chat.jsx").read_text("utf-8"))


@pytest_asyncio.fixture(loop_scope="module")
async def tab(context: BrowserContext, server: RunningServer, script: str) -> AsyncIterator[UseChatPage]:
    """A tab in which nothing throws that nobody catches."""
    page = await context.new_page()
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    yield UseChatPage(page, script, server.url)
    assert thrown == []


async def test_text(tab: UseChatPage, server: RunningServer) -> None:
    """The page shows the whole answer, and the hook is ready for the next question."""
    await tab.open("text", model="simulated/n30-d1")
    await tab.send("Hi")
    await tab.shows(await whole_answer(server.url, "simulated/n30-d1"))
    await tab.becomes("ready")


async def test_text_is_shown_as_it_comes(tab: UseChatPage, model_server: ModelServer) -> None:
    """What the upstream said is on the page while it is still silent about the rest."""
    gate = asyncio.Event()
    model_server.say("Rivers ", gate, "bend.")
    await tab.open("pieces", model=OPENAI)
    await tab.send("Hi")
    await tab.shows("Rivers ")
    await tab.becomes("streaming")
    gate.set()
    await tab.shows("Rivers bend.")
    await tab.becomes("ready")


async def test_stop(tab: UseChatPage, model_server: ModelServer) -> None:
    """With `on_disconnect: cancel` the hook's `stop` closes the upstream's connection, and is no error."""
    model_server.say("Rivers ", Step.STALL)
    await tab.open("stop", model=OPENAI, on_disconnect="cancel")
    await tab.send("Hi")
    await tab.shows("Rivers ")
    await tab.stop()
    await model_server.has_seen_leave()
    await tab.becomes("ready")
    await tab.shows("Rivers ")
    assert await tab.error() == ""


async def test_a_page_loaded_anew(tab: UseChatPage, model_server: ModelServer) -> None:
    """With `resume` the page that was loaded anew shows the whole answer, whose first half it had kept, once."""
    gate = asyncio.Event()
    model_server.say("Rivers ", gate, "bend.")
    asked = model_server.asked
    await tab.open("anew", resume=True, model=OPENAI)
    await tab.send("Hi")
    await tab.shows("Rivers ")
    await tab.page.reload()
    await tab.becomes("streaming")
    await tab.shows("Rivers ")
    gate.set()
    await tab.shows("Rivers bend.")
    await tab.becomes("ready")
    assert model_server.asked == asked + 1


async def test_nothing_to_come_back_to(tab: UseChatPage, model_server: ModelServer) -> None:
    """A page loaded anew after its answer's end shows what it has kept, and is ready."""
    model_server.say("Rivers bend.")
    await tab.open("ended", resume=True, model=OPENAI)
    await tab.send("Hi")
    await tab.shows("Rivers bend.")
    await tab.becomes("ready")
    async with tab.page.expect_response(lambda response: response.url.endswith("/stream")) as resumed:
        await tab.page.reload()
    assert (await resumed.value).status == 204
    await tab.becomes("ready")
    await tab.shows("Rivers bend.")


async def test_a_failure_in_the_middle(tab: UseChatPage, model_server: ModelServer) -> None:
    """An upstream that breaks off is the hook's `error`; what it had said stays on the page."""
    model_server.say("Rivers ", Step.RESET)
    await tab.open("failure", model=OPENAI)
    await tab.send("Hi")
    await tab.becomes("error")
    assert "closed the connection before its answer was whole" in await tab.error()
    await tab.shows("Rivers ")


async def test_a_refusal(tab: UseChatPage) -> None:
    """What is refused before the stream is the hook's `error` too, in the words of the problem."""
    await tab.open("refusal", model="nope")
    await tab.send("Hi")
    await tab.becomes("error")
    assert "there is no model 'nope'" in await tab.error()


async def test_calls(tab: UseChatPage) -> None:
    """Reasoning and two calls are parts of their own; with both outputs the answer goes on in the same message."""
    await tab.open("calls", model="simulated/n8-d1-r5-t2")
    await tab.send("Hi")
    await tab.has_calls(*[r'get_weather input-available \{"city":".+"\}'] * 2)
    await expect(tab.answers.locator("em")).to_have_count(1)
    await tab.becomes("ready")
    await tab.calls.nth(0).click()
    await tab.calls.nth(1).click()
    await tab.has_calls(*["output-available"] * 2, *["input-available"] * 2)
    await tab.becomes("ready")
    await expect(tab.answers).to_have_count(1)


async def test_what_the_docs_show(context: BrowserContext, server: RunningServer) -> None:
    """The first example of the page on the AI SDK is all that a component needs."""
    example = re.findall(r"^```tsx\n(.*?)^```", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE)[0]
    imports, _, use = example.replace("http://127.0.0.1:8000", server.url).replace("tr_…", "any").partition("\n\n")
    view = 'import { ChatView, mount } from "./chat_view.jsx";\nconst chatId = "river";\n'
    names = "{ messages, sendMessage, stop, status, error }"
    component = f"mount(function Page() {{ {use} return <ChatView {{...{names}}} />; }});"
    tab = UseChatPage(await context.new_page(), await bundle(f"{view}{imports}\n{component}"), server.url)
    await tab.open("docs")
    await tab.send("Hi")
    await tab.shows(await whole_answer(server.url, "simulated"))
    await tab.becomes("ready")
