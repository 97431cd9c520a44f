"""The chat page where keys exist: it asks for one, once, and no script can read what the browser keeps of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect
from tests.browser.chat import ChatPage
from tests.reader import ask
from tests.server import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN_KEY: Final = "tr_admin_" + "k" * 43


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def guarded() -> AsyncIterator[RunningServer]:
    """A server with an admin key."""
    async with running_server(env={"TAILRACE_ADMIN_KEY": ADMIN_KEY}) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def chat(browser: Browser, guarded: RunningServer) -> AsyncIterator[ChatPage]:
    """The page at its door."""
    context = await browser.new_context()
    chat = ChatPage(await context.new_page(), guarded.url)
    await chat.page.goto(guarded.url)
    await chat.page.get_by_role("heading", name="Sign in to tailrace").wait_for()
    yield chat
    await context.close()


async def sign_in(chat: ChatPage, key: str) -> None:
    """Give a key."""
    await chat.page.get_by_label("API key").fill(key)
    await chat.page.keyboard.press("Enter")


async def make_key(url: str) -> tuple[str, str]:
    """A new key: its id, and itself."""
    made = await ask(url, "POST", "/v1/keys", {"name": "Ada"}, headers={"x-api-key": ADMIN_KEY})
    return made.json()["id"], made.json()["key"]


async def test_a_wrong_key(chat: ChatPage) -> None:
    """It says that the key is not valid, and asks on."""
    for key in ("nonsense", f"tr_{'0' * 16}_{'A' * 43}"):
        await sign_in(chat, key)
        await expect(chat.page.get_by_role("alert")).to_contain_text("This key is not valid")
    await chat.page.keyboard.press("Escape")
    await expect(chat.page.get_by_label("API key")).to_be_visible()


async def test_the_right_key(chat: ChatPage, guarded: RunningServer) -> None:
    """Any key opens the page, also after a reload; its cookie is for no script; signing out ends it."""
    _, key = await make_key(guarded.url)
    await sign_in(chat, key)
    await chat.ask("Hello", model="simulated/n10-d1")
    assert "A simulated" in await chat.done()
    await chat.reload()
    await chat.done()
    [cookie] = await chat.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    kept = "document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"
    assert key not in await chat.page.evaluate(kept)
    assert cookie["value"] not in await chat.page.evaluate(kept)
    await expect(chat.page.get_by_role("link", name="Dashboard")).to_have_count(0)
    await chat.page.get_by_role("button", name="Sign out").click()
    await chat.page.get_by_label("API key").wait_for()
    assert await chat.page.context.cookies() == []


async def test_a_key_that_is_revoked_meanwhile(chat: ChatPage, guarded: RunningServer) -> None:
    """The question stays, a key is asked for, and with another one it can be asked again."""
    id_, key = await make_key(guarded.url)
    await sign_in(chat, key)
    await chat.message.wait_for()
    await ask(guarded.url, "DELETE", f"/v1/keys/{id_}", headers={"x-api-key": ADMIN_KEY})
    await chat.ask("Are you there?", model="simulated/n10-d1")
    await chat.says("unauthorized")
    _, other = await make_key(guarded.url)
    await sign_in(chat, other)
    await chat.page.get_by_role("button", name="Try again").click()
    await expect(chat.text()).to_contain_text("A simulated")
    await expect(chat.questions).to_contain_text("Are you there?")


async def test_an_admin_is_shown_the_way_to_the_dashboard(chat: ChatPage) -> None:
    """The dashboard is for admins."""
    await sign_in(chat, ADMIN_KEY)
    await expect(chat.page.get_by_role("link", name="Dashboard")).to_be_visible()
