"""The dashboard in a real Chromium: its streams appear, are watched and cancelled, and nobody is asked in vain."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from playwright.async_api import Browser, expect
from tests.browser.dashboard import (
    ADMIN,
    ADMIN_KEY,
    OPENAI,
    PATIENCE_MS,
    SLOW,
    DashboardPage,
    make_key,
)
from tests.reader import Reader, ask
from tests.server import RunningServer, running_server
from tests.system.model_server import ModelServer
from tests.upstream import Step
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_stream_appears_and_grows(dashboard: DashboardPage, keyed: RunningServer) -> None:
    """Within two seconds: whose it is, its model, rising tokens at their rate, its reader; when it ends it says so."""
    _, key = await make_key(keyed, "Ann & Co")
    async with Reader(keyed.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": SLOW}, headers={"x-api-key": key})
        stream_id = (await reader.until(b"delta")).headers["x-tailrace-stream"]
        row = dashboard.stream(stream_id)
        await row.wait_for(timeout=5_000)
        for column, wanted in (("Key", "Ann & Co"), ("Model", SLOW), ("Provider", "simulated"), ("Status", "running")):
            await dashboard.reads(dashboard.cell(row, column), wanted)
        await dashboard.reads(dashboard.cell(row, "Readers"), "1")
        tokens = dashboard.cell(row, "Tokens")
        before = await tokens.inner_text()
        await expect(tokens).not_to_have_text(before, timeout=PATIENCE_MS)
        assert int((await tokens.inner_text()).replace(",", "")) > int(before.replace(",", ""))
        await expect(dashboard.cell(row, "Tokens/s")).to_have_text(re.compile(r"^\d{2,3}\.\d$"), timeout=PATIENCE_MS)
    await dashboard.reads(dashboard.cell(row, "Status"), "cancelled")


async def test_a_stream_is_watched(dashboard: DashboardPage, keyed: RunningServer, model_server: ModelServer) -> None:
    """What the model says stands on the page while it is silent about the rest, from the start on, and its end."""
    more, rest = asyncio.Event(), asyncio.Event()
    model_server.say("one ", more, "two ", rest, "three.")
    async with Reader(keyed.url) as reader:
        await reader.ask("POST", "/v1/messages", {**question(OPENAI), "stream": True, "max_tokens": 9}, headers=ADMIN)
        stream_id = (await reader.until(b"one")).headers["x-tailrace-stream"]
        await dashboard.stream(stream_id).get_by_role("button", name="Watch").click()
        said = dashboard.watched.locator(".said")
        await dashboard.reads(said, "one ")
        await dashboard.reads(dashboard.cell(dashboard.stream(stream_id), "Readers"), "2")
        more.set()
        await dashboard.reads(said, "one two ")
        rest.set()
        await dashboard.reads(said, "one two three.")
        await expect(dashboard.watched.get_by_role("status")).to_contain_text("finished")
        await reader.whole()
    await dashboard.watched.get_by_role("button", name="Close").click()
    await expect(dashboard.watched).to_have_count(0)


@pytest.mark.parametrize("place", ["the row", "the watched stream"])
async def test_a_stream_is_cancelled(
    dashboard: DashboardPage, keyed: RunningServer, model_server: ModelServer, place: str
) -> None:
    """Once that is confirmed: the upstream's connection is closed, the reader is told, and the row says it."""
    model_server.say("one ", Step.STALL)
    async with Reader(keyed.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", question(OPENAI), headers=ADMIN)
        stream_id = (await reader.until(b"one")).headers["x-tailrace-stream"]
        row = dashboard.stream(stream_id)
        if place == "the row":
            await row.get_by_role("button", name="Cancel").click()
        else:
            await row.get_by_role("button", name="Watch").click()
            await dashboard.watched.get_by_role("button", name="Cancel the stream").click()
        await dashboard.page.get_by_role("button", name="Keep it").click()
        assert (await dashboard.cell(row, "Status").inner_text()) == "running"
        await row.get_by_role("button", name="Cancel").click()
        await dashboard.confirm("Cancel the stream")
        await reader.until(b'"cancelled"')
    await model_server.has_seen_leave()
    await dashboard.reads(dashboard.cell(row, "Status"), "cancelled")
    if place == "the watched stream":
        await expect(dashboard.watched.get_by_role("status")).to_have_text("cancelled", timeout=PATIENCE_MS)


def question(model: str) -> dict[str, Any]:
    """A body that Anthropic's format takes, and ours too."""
    return {"messages": [{"role": "user", "content": "Count"}], "model": model}


async def test_a_hidden_tab_asks_for_nothing(dashboard: DashboardPage, keyed: RunningServer) -> None:
    """It stops polling and gives the watched stream's connection back; seen again, it goes on where it was."""
    async with Reader(keyed.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": SLOW}, headers=ADMIN)
        stream_id = (await reader.until(b"delta")).headers["x-tailrace-stream"]
        row = dashboard.stream(stream_id)
        await row.get_by_role("button", name="Watch").click()
        await dashboard.reads(dashboard.cell(row, "Readers"), "2")
        await dashboard.hide()
        # What was under way when it was hidden may still end
        await readers_come_to(keyed, stream_id, 1)
        await dashboard.page.wait_for_load_state("networkidle")
        asked, shown = len(dashboard.requests), await dashboard.watched.locator(".said").inner_text()
        await reader.until(b"delta", times=len(reader.answer.events) + 250)
        assert dashboard.requests[asked:] == []
        await dashboard.hide(hidden=False)
        await readers_come_to(keyed, stream_id, 2)
        await dashboard.page.wait_for_function(
            "length => document.querySelector('.watch .said').textContent.length > length", arg=len(shown) + 1000
        )
        assert "/v1/overview" in dashboard.requests[asked:]
        whole = await dashboard.watched.locator(".said").inner_text()
        await reader.until(b"delta", times=len(reader.answer.events) + 1)
        assert reader.answer.text.startswith(whole[:2000])
        await ask(keyed.url, "POST", f"/v1/streams/{stream_id}/cancel", headers=ADMIN)


async def readers_come_to(server: RunningServer, stream_id: str, readers: int) -> None:
    """Wait until the server counts so many readers of a stream."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while True:
        overview = (await ask(server.url, "GET", "/v1/overview", headers=ADMIN)).json()
        (stream,) = [stream for stream in overview["streams"] if stream["id"] == stream_id]
        if stream["readers"] == readers:
            return
        assert time.monotonic() < deadline, f"there are {stream['readers']} readers"
        await asyncio.sleep(0.02)


async def test_it_is_worked_without_a_pointer(dashboard: DashboardPage, keyed: RunningServer) -> None:
    """Tab and Enter alone open a stream, close it, and are back where they were."""
    async with Reader(keyed.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": SLOW}, headers=ADMIN)
        stream_id = (await reader.until(b"delta")).headers["x-tailrace-stream"]
        watch = dashboard.stream(stream_id).get_by_role("button", name="Watch")
        await watch.focus()
        await dashboard.page.keyboard.press("Enter")
        await expect(dashboard.watched.get_by_role("button", name="Close")).to_be_focused()
        await dashboard.page.keyboard.press("Enter")
        await expect(watch).to_be_focused()
        await dashboard.page.keyboard.press("Tab")
        await dashboard.page.keyboard.press("Enter")
        await expect(dashboard.page.get_by_role("button", name="Keep it")).to_be_focused()
        await dashboard.page.keyboard.press("Tab")
        await dashboard.page.keyboard.press("Enter")
        await reader.until(b'"cancelled"')


async def test_polls_do_not_pile_up(dashboard: DashboardPage) -> None:
    """One turn begins when the one before has ended, whatever is pressed meanwhile."""
    held = asyncio.Event()

    async def hold(route: Any) -> None:
        await held.wait()
        await route.continue_()

    await dashboard.page.route("**/v1/overview", hold)
    asked = dashboard.requests.count("/v1/overview")
    await until(lambda: dashboard.requests.count("/v1/overview") == asked + 1)
    for hidden in (True, False, True, False):
        await dashboard.hide(hidden)
    assert dashboard.requests.count("/v1/overview") == asked + 1
    held.set()
    await until(lambda: dashboard.requests.count("/v1/overview") == asked + 2)
    await dashboard.page.unroute_all(behavior="wait")


async def test_an_outage_is_told_and_passes(browser: Browser) -> None:
    """While the server is gone the page keeps what it shows and says that it is old."""
    context = await browser.new_context()
    async with running_server(env={"TAILRACE_ADMIN_KEY": ADMIN_KEY}) as server:
        dashboard = DashboardPage(await context.new_page(), server.url)
        await dashboard.enter(ADMIN_KEY)
        await server.kill()
        await expect(dashboard.page.get_by_role("alert").filter(has_text="What is shown is old")).to_be_visible(
            timeout=PATIENCE_MS
        )
        await expect(dashboard.fact("running")).to_have_text("0")
    await context.close()
