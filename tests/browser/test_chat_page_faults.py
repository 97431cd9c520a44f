"""The chat page in a real Chromium when something goes wrong: it says what, and what to do, and keeps the text."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.async_api import BrowserContext, expect
from tests.browser.chat import ChatPage
from tests.server import RunningServer, running_server
from tests.system.model_server import ModelServer
from tests.upstream import Step, answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI: Final = "openai/gpt-4o-mini"
FIRST: Final = "one two "
REST: Final = ("three ", "four.")


async def test_a_model_that_is_gone(context: BrowserContext, server: RunningServer) -> None:
    """The page says that there is no such model, keeps the question, and asks it of another one when told to."""
    chat = ChatPage(await context.new_page(), server.url)
    await chat.open()
    await chat.ask("Hello there", model="simulated/nothing")
    assert "Choose another model" in await chat.says("model_not_found")
    await expect(chat.questions).to_have_text(["Hello thereEdit"])
    await chat.choose("simulated/n20-d1")
    await chat.page.get_by_role("button", name="Try again").click()
    await expect(chat.text()).to_contain_text("Hello there")
    await expect(chat.notice).to_have_count(0)
    await expect(chat.questions).to_have_count(1)


async def test_an_answer_that_fails_in_the_middle(chat: ChatPage, model_server: ModelServer) -> None:
    """What had come stays, also after a reload; the page says what happened, and a press makes it anew."""
    model_server.say(FIRST, Step.DROP)
    await chat.ask("Count", model=OPENAI)
    assert "cut the answer off" in await chat.says("upstream_cut")
    assert await chat.done() == "one two"
    await chat.reload()
    assert "cut the answer off" in await chat.says("upstream_cut")
    assert await chat.done() == "one two"
    model_server.say(FIRST, *REST)
    await chat.page.get_by_role("button", name="Try again").click()
    await expect(chat.text()).to_have_text("one two three four.")
    await expect(chat.notice).to_have_count(0)


async def test_an_upstream_that_refuses(
    context: BrowserContext, server: RunningServer, model_server: ModelServer
) -> None:
    """The provider's own words are shown, and the question can be asked again."""
    model_server.refuse(answer(b'{"error":{"message":"no such river"}}', "400 Bad Request"))
    chat = ChatPage(await context.new_page(), server.url)
    await chat.open()
    await chat.ask("Count", model=OPENAI)
    assert "no such river" in await chat.says("upstream_refused")
    model_server.say(*REST)
    await chat.page.get_by_role("button", name="Try again").click()
    await expect(chat.text()).to_have_text("three four.")
    await expect(chat.questions).to_have_count(1)


async def test_a_server_that_is_down(context: BrowserContext) -> None:
    """Asked of a server that is gone, a question stays on the page, and waiting ends at a press of Stop."""
    async with running_server() as server:
        chat = ChatPage(await context.new_page(), server.url)
        await chat.open()
    await chat.ask("Is anybody there?")
    await expect(chat.answers.locator(".status")).to_contain_text("The connection is lost")
    await chat.page.get_by_role("button", name="Stop").click()
    assert "be reached" in await chat.says("connection_lost")
    await expect(chat.questions).to_contain_text("Is anybody there?")
    async with running_server("--port", server.url.rpartition(":")[2]):
        await chat.page.get_by_role("button", name="Try again").click()
        await expect(chat.text()).to_contain_text("Is anybody there?")
        await chat.reload()
        await expect(chat.questions).to_have_count(1)
