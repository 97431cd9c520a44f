"""A real Chromium, a site to visit with it, and the server that the site's pages talk to."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright
from tests.server import RunningServer, running_server
from tests.system.model_server import ModelServer
from tests.upstream import ReceivedRequest, Script, ScriptedUpstream, answer

_PAGES: Final = Path(__file__).parent / "pages"
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


class Visitor:
    """A browser's tab. `site` is where the pages lie that it visits."""

    def __init__(self, page: Page, site: str) -> None:
        self.page = page
        self._site = site

    async def visit(self, name: str, server: str, **query: str) -> None:
        """Open a page of the site, which talks to the server at this URL."""
        await self.page.goto(f"{self._site}/{name}?{urlencode({'server': server, **query})}")

    async def visit_as_own(self, name: str, server: str, **query: str) -> None:
        """The same page, as if it lay on the server itself."""
        await self.page.goto(f"{server}/health?{urlencode(query)}")
        await self.page.set_content((_PAGES / name).read_text("utf-8"))

    async def done(self) -> str:
        """Wait until the page says that its answer is whole: the answer."""
        await self.page.wait_for_function("document.title === 'done'")
        return await self.output()

    async def output(self) -> str:
        """What the page shows."""
        return await self.page.locator("#output").text_content() or ""

    async def shows(self, text: str) -> None:
        """Wait until the page shows exactly this."""
        await self.page.wait_for_function("text => document.getElementById('output').textContent === text", arg=text)

    async def gave_up(self) -> None:
        """Wait until the page's EventSource is closed for good."""
        await self.page.wait_for_function("source.readyState === EventSource.CLOSED")


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
        page = _PAGES / Path(urlsplit(request.target).path).name
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
    """A server in open mode."""
    async with running_server(env=model_server.env) as server:
        yield server
