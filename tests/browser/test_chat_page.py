"""The chat page in a real Chromium: asked, stopped, cut off, reloaded, restarted under, and it loses nothing."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import BrowserContext, expect
from tests.browser.chat import ChatPage
from tests.browser.cutting import CuttingProxy
from tests.reader import ask
from tests.server import RunningServer, running_server
from tests.system.model_server import ModelServer
from tests.upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI: Final = "openai/gpt-4o-mini"
LONG: Final = "simulated/n300-d10"
FIRST: Final = "one two "
REST: Final = ("three ", "four.")


async def test_an_answer_comes_token_by_token(chat: ChatPage, model_server: ModelServer) -> None:
    """What the model has said is on the page while it is silent about the rest; the whole of it, once, at the end."""
    gate = asyncio.Event()
    model_server.say(FIRST, gate, *REST)
    await chat.ask("Count", model=OPENAI)
    await chat.runs("one two")
    await expect(chat.text()).to_have_text("one two")
    gate.set()
    assert await chat.done() == "one two three four."


async def test_an_answer_says_what_it_took(chat: ChatPage) -> None:
    """Under it stand the model, the time to the first token, the speed, the tokens and the cost."""
    await chat.ask("Hello", model="simulated/n50-d2")
    await chat.done()
    figures = chat.answers.locator(".figures")
    await expect(figures).to_contain_text(
        re.compile(r"simulated/n50-d2\d+ ms to first token[\d.,]+ tokens/s50 tokens\$0")
    )


async def test_an_example_is_an_answer(chat: ChatPage) -> None:
    """A stranger needs one press: an example of the empty page is asked of the simulated model."""
    await chat.page.get_by_role("button", name="Why do rivers meander?").click()
    assert "Why do rivers meander?" in await chat.done()
    await expect(chat.page.locator(".welcome")).to_have_count(0)


async def test_reasoning_is_folded_and_tools_are_shown(chat: ChatPage) -> None:
    """Reasoning is there, folded; each call of a tool with its arguments; both after a reload too."""
    await chat.ask("Think", model="simulated/n10-d1-r20-t2")
    await chat.done()
    for _ in range(2):
        fold = chat.answers.locator("details.reasoning")
        await expect(fold).not_to_have_attribute("open", "")
        await fold.locator("summary").click()
        await expect(fold.locator("p")).to_contain_text("The prompt says")
        await expect(chat.answers.locator("details.tool")).to_have_count(2)
        await expect(chat.answers.locator("details.tool").first).to_contain_text('"city": "simulated"')
        await chat.reload()
        await chat.done()


@pytest.mark.parametrize("way", ["button", "key"])
async def test_an_answer_is_stopped(chat: ChatPage, model_server: ModelServer, way: str) -> None:
    """Stop, or Escape, ends the answer on the server; what had come stays, and is offered anew."""
    model_server.say(FIRST, Step.STALL)
    await chat.ask("Count", model=OPENAI)
    await chat.runs("one two")
    if way == "button":
        await chat.page.get_by_role("button", name="Stop").click()
    else:
        await chat.page.keyboard.press("Escape")
    assert "Stopped" in await chat.says("cancelled")
    assert await chat.done() == "one two"
    model_server.say(*REST)
    await chat.page.get_by_role("button", name="Try again").click()
    await expect(chat.text()).to_have_text("three four.")
    await expect(chat.questions).to_have_count(1)


# Lost connections


async def test_an_answer_goes_on_after_a_cut(
    context: BrowserContext, server: RunningServer, model_server: ModelServer
) -> None:
    """Cut in the middle of a frame, the answer goes on by itself: each token once, and the model asked once."""
    more, rest, asked = asyncio.Event(), asyncio.Event(), model_server.asked
    model_server.say("one ", more, "two ", rest, *REST)
    async with CuttingProxy(server.url) as proxy:
        chat = ChatPage(await context.new_page(), proxy.url)
        await chat.open()
        await chat.ask("Count", model=OPENAI)
        await chat.runs("one")
        proxy.cut_at(b"wo ")
        more.set()
        await proxy.has_cut()
        await chat.runs("one two")
        rest.set()
        assert await chat.done() == "one two three four."
    assert model_server.asked == asked + 1


async def test_an_answer_goes_on_after_the_network_was_away(
    chat: ChatPage, context: BrowserContext, model_server: ModelServer
) -> None:
    """Offline in mid-answer the page says so and waits; what was said meanwhile is there when the network is back."""
    gate = asyncio.Event()
    model_server.say(FIRST, gate, *REST)
    async with CuttingProxy(chat.url) as proxy:
        tab = ChatPage(await context.new_page(), proxy.url)
        await tab.open()
        await tab.ask("Count", model=OPENAI)
        await tab.runs("one two")
        await context.set_offline(True)
        proxy.cut()
        await expect(tab.answers.locator(".status")).to_contain_text("The connection is lost")
        gate.set()
        await context.set_offline(False)
        assert await tab.done() == "one two three four."


async def test_a_reload_goes_on_with_the_answer(chat: ChatPage, model_server: ModelServer) -> None:
    """Reloaded in mid-answer the page shows what had come and goes on; the model is asked once."""
    gate, asked = asyncio.Event(), model_server.asked
    model_server.say(FIRST, gate, *REST)
    await chat.ask("Count", model=OPENAI)
    await chat.runs("one two")
    await chat.reload()
    await chat.runs("one two")
    gate.set()
    assert await chat.done() == "one two three four."
    assert model_server.asked == asked + 1


async def test_a_second_tab_shows_the_same_answer(
    chat: ChatPage, context: BrowserContext, model_server: ModelServer
) -> None:
    """Opened in mid-answer a second tab shows it from its start, and both go on."""
    gate = asyncio.Event()
    model_server.say(FIRST, gate, *REST)
    await chat.ask("Count", model=OPENAI)
    await chat.runs("one two")
    second = ChatPage(await context.new_page(), chat.url)
    await second.open("#" + chat.page.url.partition("#")[2])
    await second.runs("one two")
    gate.set()
    assert [await tab.done() for tab in (chat, second)] == ["one two three four."] * 2


async def test_an_open_second_tab_follows(chat: ChatPage, context: BrowserContext, model_server: ModelServer) -> None:
    """A tab that has shown the conversation for long shows a question asked in another, and its answer as it comes."""
    await chat.ask("Hello", model="simulated/n5-d1")
    await chat.done()
    second = ChatPage(await context.new_page(), chat.url)
    await second.open("#" + chat.page.url.partition("#")[2])
    await second.done()
    gate = asyncio.Event()
    model_server.say(FIRST, gate, *REST)
    await chat.ask("Count", model=OPENAI)
    await second.runs("one two")
    gate.set()
    assert await second.done(2) == "one two three four."


def whole_lines(text: str) -> str:
    """All but the last line, which may show signs that become emphasis when it goes on."""
    return text.rpartition("\n")[0]


async def test_a_restarted_server(context: BrowserContext, tmp_path: Path) -> None:
    """Killed and started again, the server is found by itself: what had come is kept, and a whole answer is offered."""
    env = {"TAILRACE_DATA_DIR": str(tmp_path)}
    async with running_server(env=env) as server:
        chat = ChatPage(await context.new_page(), server.url)
        await chat.open()
        await chat.ask("Go on", model=LONG)
        await chat.runs("No model ran for this")
        server.signal(signal.SIGKILL)
        await server.ended()
        await expect(chat.answers.locator(".status")).to_contain_text("The connection is lost")
        had = await chat.text().inner_text()
    async with running_server("--port", server.url.rpartition(":")[2], env=env):
        assert "stopped in mid-answer" in await chat.says("interrupted")
        text = await chat.done()
        assert text.startswith(whole_lines(had))
        await chat.reload()
        assert await chat.says("interrupted")
        kept = await chat.done()
        assert "A simulated answer" in kept
        assert text.startswith(whole_lines(kept))
        await chat.page.get_by_role("button", name="Try again").click()
        await expect(chat.notice).to_have_count(0)
        whole = await chat.done()
        assert len(whole) > len(text)
        await expect(chat.questions).to_have_count(1)


# Conversations


async def test_conversations_are_listed_opened_and_deleted(chat: ChatPage) -> None:
    """The server keeps them: listed by their first question, opened by their address, deleted after a second press."""
    await chat.ask("First of all", model="simulated/n5-d1")
    await chat.done()
    await chat.page.get_by_role("button", name="New chat").click()
    await chat.ask("Then again")
    await chat.done()
    listed = chat.conversations
    await expect(listed.filter(has_text="Then again")).to_have_attribute("aria-current", "page")
    await listed.filter(has_text="First of all").click()
    await expect(chat.questions).to_have_text(["First of allEdit"])
    await expect(chat.page.get_by_role("heading", name="First of all", level=1)).to_be_visible()
    delete = chat.page.get_by_role("button", name="Delete “First of all”")
    await delete.click()
    await chat.page.get_by_role("button", name="Press again to delete").click()
    await expect(listed.filter(has_text="First of all")).to_have_count(0)
    await expect(chat.questions).to_have_count(0)


async def test_a_question_is_edited(chat: ChatPage) -> None:
    """Edited, a question stands in the place of the old one, and what followed is gone, on the server too."""
    await chat.choose("simulated/n30-d1")
    for number, text in enumerate(("Apples", "Pears", "Plums"), 1):
        await chat.ask(text)
        await chat.done(number)
    for place, text, left in ((1, "Peaches", 2), (0, "Grapes", 1)):
        await chat.questions.nth(place).get_by_role("button", name="Edit").click()
        field = chat.page.get_by_label("Edit the question")
        await field.fill(text)
        await field.press("Enter")
        assert text in await chat.done(left)
        await expect(chat.text()).to_contain_text(text)
    await chat.reload()
    await expect(chat.questions).to_have_text(["GrapesEdit"])
    await expect(chat.answers).to_have_count(1)


async def test_an_answer_is_made_anew(chat: ChatPage, model_server: ModelServer) -> None:
    """Answer again asks the same question once more, with the model that is chosen now."""
    model_server.say("old.")
    await chat.ask("Say it", model=OPENAI)
    assert await chat.done() == "old."
    model_server.say("new.")
    await chat.page.get_by_role("button", name="Answer again").click()
    await expect(chat.text()).to_have_text("new.")
    await chat.done()
    await chat.reload()
    assert await chat.done() == "new."
    await expect(chat.questions).to_have_count(1)


async def test_two_models_are_compared(chat: ChatPage, model_server: ModelServer) -> None:
    """One question goes to two models at once; both stream, each by itself, and the list has one entry for both."""
    gate = asyncio.Event()
    model_server.say(FIRST, gate, *REST)
    await chat.page.get_by_role("button", name="Compare").click()
    await chat.choose(OPENAI, "Model 1")
    await chat.choose("simulated/n1000-d10", "Model 2")
    await chat.ask("Which is better?")
    first, second = chat.answers.nth(0), chat.answers.nth(1)
    await expect(chat.text(first)).to_have_text("one two")
    await expect(chat.text(second)).to_contain_text("Which is better?")
    for running in (first, second):
        await expect(running).to_have_attribute("aria-busy", "true")
    gate.set()
    await expect(first).to_have_attribute("aria-busy", "false")
    await expect(second).to_have_attribute("aria-busy", "true")
    await chat.page.keyboard.press("Escape")
    await expect(second).to_have_attribute("aria-busy", "false")
    await expect(chat.text(first)).to_have_text("one two three four.")
    await expect(chat.conversations.filter(has_text="Which is better?")).to_have_count(1)
    await chat.reload()
    await expect(chat.answers).to_have_count(2)


async def test_code_is_copied(chat: ChatPage, model_server: ModelServer) -> None:
    """A block of code, and a whole answer, go to the clipboard as they were said."""
    said = "Run:\n\n```sh\necho  one\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    model_server.say(said)
    await chat.ask("How?", model=OPENAI)
    await chat.done()
    await expect(chat.answers.locator("table")).to_have_count(1)
    for name, text in (("Copy code", "echo  one"), ("Copy answer", said)):
        await chat.page.get_by_role("button", name=name).click()
        await expect(chat.page.get_by_role("button", name=name)).to_have_text("Copied")
        assert await chat.page.evaluate("navigator.clipboard.readText()") == text


async def test_what_was_typed_is_kept(context: BrowserContext, server: RunningServer) -> None:
    """A text that was not sent is there again after a reload, in its own conversation."""
    chat = ChatPage(await context.new_page(), server.url)
    await chat.open()
    await chat.message.fill("Not yet")
    await chat.reload()
    await expect(chat.message).to_have_value("Not yet")
    await chat.page.get_by_role("button", name="New chat").click()
    await expect(chat.message).to_have_value("")


async def test_an_answer_that_is_left_goes_on(chat: ChatPage) -> None:
    """Leaving the conversation does not stop its answer; the server goes on with it, and has it whole."""
    await chat.ask("Carry on", model="simulated/n100-d5")
    await chat.runs("A simulated")
    await chat.page.get_by_role("button", name="New chat").click()

    async def is_whole() -> bool:
        rows = (await ask(chat.url, "GET", "/v1/usage/generations?limit=1")).json()["data"]
        return bool(rows[0]["status"] == "finished" and rows[0]["output_tokens"] == 100)

    async with asyncio.timeout(20):
        while not await is_whole():
            await chat.page.evaluate("new Promise(requestAnimationFrame)")
