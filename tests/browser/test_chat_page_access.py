"""The chat page for everybody: screen readers, keys alone, a telephone, a page that stays smooth."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, expect
from tests.browser.chat import ChatPage
from tests.server import RunningServer
from tests.system.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

AXE: Final = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
PHONE: Final = ViewportSize(width=360, height=740)
OPENAI: Final = "openai/gpt-4o-mini"
ANSWER: Final = (
    "# Title\n\nText with a [link](https://a.invalid), `code`, **bold** and ![an image](https://b.invalid/c.png).\n\n"
    "- one\n  1. two\n- [x] three\n\n> quoted\n\n"
    "```py\nprint(1)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n\nEnd.\n"
)
LONG_TASK_MS: Final = 50
WATCH: Final = """
window.said = [];
new MutationObserver(() => said.push(document.querySelector("[aria-live]").textContent))
  .observe(document.querySelector("[aria-live]"), {childList: true, characterData: true, subtree: true});
"""


@pytest_asyncio.fixture(loop_scope="module", params=["light", "dark"])
async def themed(browser: Browser, server: RunningServer, request: pytest.FixtureRequest) -> AsyncIterator[ChatPage]:
    """The page as the system's colours make it."""
    context = await browser.new_context(color_scheme=request.param)
    chat = ChatPage(await context.new_page(), server.url)
    await chat.open()
    yield chat
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def chat(browser: Browser, server: RunningServer) -> AsyncIterator[ChatPage]:
    """The page in a window of the usual size."""
    context = await browser.new_context()
    chat = ChatPage(await context.new_page(), server.url)
    await chat.open()
    yield chat
    await context.close()


async def find_barriers(page: Page) -> list[str]:
    """What axe finds serious or critical on the page as it stands."""
    await page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{barrier['id']}: {[node['html'][:120] for node in barrier['nodes']]}"
        for barrier in found["violations"]
        if barrier["impact"] in ("serious", "critical")
    ]


async def test_no_barriers(themed: ChatPage, model_server: ModelServer) -> None:
    """axe has nothing serious to say of the page empty, answered, failed, edited, compared; light and dark."""
    assert await find_barriers(themed.page) == []
    model_server.say(*ANSWER)
    await themed.ask("Show all", model=OPENAI)
    await themed.done()
    await themed.ask("Think", model="simulated/n10-d1-r5-t1")
    await themed.done(2)
    await themed.ask("Fail", model="simulated/nothing")
    await themed.says("model_not_found")
    await themed.questions.first.get_by_role("button", name="Edit").click()
    assert await find_barriers(themed.page) == []
    await themed.page.get_by_role("button", name="Compare").click()
    await themed.ask("Both")
    await themed.done(2)
    assert await find_barriers(themed.page) == []


async def test_colours_are_chosen(themed: ChatPage) -> None:
    """The button turns light to dark or back, and the choice holds on the next visit."""
    ground = "getComputedStyle(document.body).backgroundColor"
    before = await themed.page.evaluate(ground)
    await themed.page.get_by_role("button", name="colours").click()
    after = await themed.page.evaluate(ground)
    assert after != before
    await themed.reload()
    assert await themed.page.evaluate(ground) == after


async def test_a_telephone(browser: Browser, server: RunningServer, model_server: ModelServer) -> None:
    """On 360 pixels nothing is wider than the screen, wide code scrolls by itself, the list unfolds, axe is content."""
    context = await browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    chat = ChatPage(await context.new_page(), server.url)
    await chat.open()
    model_server.say(f"{ANSWER}\n```\n{'wide ' * 100}\n```\n\n|{' wide cell |' * 12}\n|{'---|' * 12}\n\n{'x' * 500}\n")
    await chat.ask("Show all " + "y" * 200, model=OPENAI)
    await chat.done()
    assert await chat.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert await chat.page.evaluate("document.querySelector('.scroller').scrollWidth") <= PHONE["width"]
    assert await find_barriers(chat.page) == []
    await expect(chat.conversations.first).not_to_be_in_viewport()
    await chat.page.get_by_role("button", name="Conversations").click()
    await expect(chat.conversations.first).to_be_in_viewport()
    assert await find_barriers(chat.page) == []
    await chat.conversations.first.click()
    await expect(chat.conversations.first).not_to_be_in_viewport()
    await context.close()


async def test_keys_alone(chat: ChatPage) -> None:
    """The page opens in its field; Shift+Enter begins a line, Enter sends, Tab reaches what an answer offers."""
    await expect(chat.message).to_be_focused()
    await chat.choose("simulated/n5-d1")
    await chat.message.focus()
    keys = chat.page.keyboard
    await keys.type("one")
    await keys.press("Shift+Enter")
    await keys.type("two")
    await keys.press("Enter")
    await chat.done()
    await expect(chat.questions.locator("p")).to_have_text("one\ntwo")
    await expect(chat.message).to_be_focused()
    names = []
    for _ in range(3):
        await keys.press("Shift+Tab")
        names.append(await chat.page.evaluate("document.activeElement.textContent"))
    assert names[:2] == ["Answer again", "Copy"]


async def test_screen_readers_are_not_flooded(chat: ChatPage) -> None:
    """An answer of many tokens is announced twice: when it begins, and when it is there."""
    await chat.page.evaluate(WATCH)
    await chat.ask("Hello", model="simulated/n200-d2")
    await chat.done()
    await chat.page.wait_for_function("said.length >= 2")
    assert await chat.page.evaluate("said") == ["Answering.", "The answer is complete."]
    assert await chat.page.locator("[aria-live]:not([aria-live=off])").count() == 1


@pytest.mark.parametrize("model", ["simulated/n2000-d2", "simulated/n30000-d0"])
async def test_the_page_stays_smooth(browser: Browser, server: RunningServer, model: str) -> None:
    """At 500 tokens a second, and for 100 KB at once, no task takes the page's thread for longer than 50 ms.

    What is measured is the time on a processor, so that others on this machine are not counted, and the best of three,
    because they still empty its caches.
    """
    longest: list[float] = []
    for _ in range(3):
        context = await browser.new_context()
        chat = ChatPage(await context.new_page(), server.url)
        await chat.open()
        await chat.choose(model)
        await browser.start_tracing(page=chat.page, categories=["toplevel", "devtools.timeline"])
        await chat.ask("Go")
        # A look by role or at the text would be work for the page's own thread.
        await chat.page.locator(".answer[aria-busy=false]").wait_for()
        longest.append(longest_task_ms(json.loads(await browser.stop_tracing())["traceEvents"]))
        await context.close()
        if longest[-1] <= LONG_TASK_MS:
            break
    assert min(longest) <= LONG_TASK_MS


def longest_task_ms(events: list[dict[str, Any]]) -> float:
    """The longest that a task has had a page's main thread, in milliseconds of processor time."""
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    tasks = [
        event.get("tdur", 0)
        for event in events
        if event["name"] in ("RunTask", "ThreadControllerImpl::RunTask")
        and event["ph"] == "X"
        and names.get((event["pid"], event["tid"])) == "CrRendererMain"
    ]
    assert len(tasks) > 100
    return float(max(tasks) / 1000)
