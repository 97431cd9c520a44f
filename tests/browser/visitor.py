"""A tab of a browser, and the pages that it visits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from playwright.async_api import Page

PAGES: Final = Path(__file__).parent / "pages"


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
        await self.page.set_content((PAGES / name).read_text("utf-8"))

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

    async def watch_arrival(self) -> asyncio.Event:
        """An event that is set when bytes of an answer reach the page's next EventSource, whether it shows them or
        not."""
        received = asyncio.Event()
        session = await self.page.context.new_cdp_session(self.page)
        streams: set[str] = set()

        def note(response: dict[str, Any]) -> None:
            if response["type"] == "EventSource":
                streams.add(response["requestId"])

        def arrive(data: dict[str, Any]) -> None:
            if data["requestId"] in streams:
                received.set()

        session.on("Network.responseReceived", note)
        session.on("Network.dataReceived", arrive)
        await session.send("Network.enable")
        return received

    async def gave_up(self) -> None:
        """Wait until the page's EventSource is closed for good."""
        await self.page.wait_for_function("source.readyState === EventSource.CLOSED")
