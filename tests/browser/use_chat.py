"""A page of somebody else's, with the AI SDK's `useChat` on it, as who uses it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from playwright.async_api import Locator, Page, Route, expect
from tests.upstream import DEADLINE_S

SCRIPTS: Final = Path(__file__).parents[1] / "js"

_PATH: Final = "/a-page-of-mine"
_PATIENCE_MS: Final = 20_000


async def bundle(source: str) -> str:
    """The script of a page with all that it imports, for a browser."""
    node = shutil.which("node")
    assert node is not None, "node is not on the path: make test puts it there"
    process = await asyncio.create_subprocess_exec(
        *(node, str(SCRIPTS / "bundle.mjs")), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        printed, _ = await process.communicate(source.encode())
    assert process.returncode == 0
    return printed.decode()


class UseChatPage:
    """A tab whose page, which has this script, lies on the server's own origin."""

    def __init__(self, page: Page, script: str, url: str) -> None:
        self.page = page
        self._script = script
        self._url = url
        page.set_default_timeout(_PATIENCE_MS)

    async def open(self, chat: str, *, resume: bool = False, **body: Any) -> None:
        """Open the page with a chat, whose transport says all this to the server."""
        await self.page.route(f"**{_PATH}*", self._serve)
        query = urlencode({"chat": chat, "body": json.dumps(body), **({"resume": "1"} if resume else {})})
        await self.page.goto(f"{self._url}{_PATH}?{query}")

    async def _serve(self, route: Route) -> None:
        # The script's end tag may stand in its texts
        script = self._script.replace("</script", "<\\/script")
        await route.fulfill(content_type="text/html; charset=utf-8", body=f"<body><script>{script}</script></body>")

    async def send(self, text: str) -> None:
        """Say something."""
        await self.page.locator("#send").fill(text)
        await self.page.locator("#send").press("Enter")

    async def stop(self) -> None:
        """Press the button that stops the answer."""
        await self.page.locator("#stop").click()

    @property
    def answers(self) -> Locator:
        return self.page.locator("section.assistant")

    @property
    def calls(self) -> Locator:
        """The tools that the model calls; a click on one gives it an output."""
        return self.answers.locator("button")

    async def shows(self, text: str) -> None:
        """Wait until exactly this is the text of the only answer."""
        await expect(self.answers).to_have_count(1, timeout=_PATIENCE_MS)
        await expect(self.answers.locator("p")).to_have_text(text, timeout=_PATIENCE_MS)

    async def has_calls(self, *told: str) -> None:
        """Wait until these are the calls, each described by a pattern of what is told of it."""
        await expect(self.calls).to_have_text([re.compile(pattern) for pattern in told], timeout=_PATIENCE_MS)

    async def becomes(self, status: str) -> None:
        """Wait until this is what `useChat` says of itself."""
        await expect(self.page.locator("#status")).to_have_text(status, timeout=_PATIENCE_MS)

    async def error(self) -> str:
        """What `useChat` says went wrong."""
        return await self.page.locator("#error").text_content() or ""
