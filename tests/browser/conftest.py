"""A real Chromium, a site to visit with it, and the server that the site's pages talk to."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright
from tests.browser.chat import ChatPage
from tests.browser.dashboard import ADMIN_KEY, PRICED, DashboardPage
from tests.browser.visitor import PAGES, Visitor
from tests.server import RunningServer, running_server
from tests.system.model_server import ModelServer
from tests.upstream import ReceivedRequest, Script, ScriptedUpstream, answer

_CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium of its own."""
    chromium = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
    assert chromium, "Chromium is missing: install the package chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site() -> AsyncIterator[str]:
    """The URL of a web server with the pages: another origin than the server's."""

    def serve(request: ReceivedRequest) -> Script:
        page = PAGES / Path(urlsplit(request.target).path).name
        if not page.is_file():
            return [answer(status="404 Not Found")]
        return [answer(page.read_bytes(), content_type="text/html; charset=utf-8")]

    async with ScriptedUpstream(serve) as server:
        yield f"http://localhost:{server.port}"


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(browser: Browser, site: str) -> AsyncIterator[Visitor]:
    """A tab with nothing in it."""
    page = await browser.new_page()
    page.set_default_timeout(20_000)
    yield Visitor(page, site)
    await page.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def model_server() -> AsyncIterator[ModelServer]:
    """The upstream of the provider openai."""
    async with ModelServer() as model_server:
        yield model_server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(model_server: ModelServer) -> AsyncIterator[RunningServer]:
    """A server in open mode, whose own model is the simulated one."""
    async with running_server(env={**model_server.env, "TAILRACE_DEFAULT_MODEL": "simulated"}) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def keyed(model_server: ModelServer) -> AsyncIterator[RunningServer]:
    """A server with an admin key."""
    env = {**model_server.env, "TAILRACE_ADMIN_KEY": ADMIN_KEY, "TAILRACE_DEFAULT_MODEL": "simulated"}
    async with running_server(env=env, config=PRICED) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def dashboard(browser: Browser, keyed: RunningServer) -> AsyncIterator[DashboardPage]:
    """The dashboard with an admin before it, about which the browser has nothing to complain."""
    context = await browser.new_context()
    dashboard = DashboardPage(await context.new_page(), keyed.url)
    await dashboard.enter(ADMIN_KEY)
    yield dashboard
    assert (dashboard.complaints, await dashboard.violations()) == ([], [])
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser that was never here before."""
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def chat(context: BrowserContext, server: RunningServer) -> AsyncIterator[ChatPage]:
    """The page, open, about which the browser has nothing to complain."""
    chat = ChatPage(await context.new_page(), server.url)
    await chat.open()
    yield chat
    assert chat.complaints == []
