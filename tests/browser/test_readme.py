"""The script of the README, in a real Chromium."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from tests.browser.visitor import Visitor
from tests.reader import ask
from tests.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

README: Final = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


async def test_the_script_shows_the_answer(visitor: Visitor, server: RunningServer) -> None:
    """Pasted into a page of the server's origin, it shows the whole answer and closes its connection."""
    [script] = re.findall(r"```js\n(.*?)```", README, re.DOTALL)
    await visitor.page.goto(f"{server.url}/health")
    await visitor.page.set_content(f'<pre id="output"></pre><script>{script}</script>')
    await visitor.gave_up()
    whole = await ask(server.url, "POST", "/v1/chat", {"message": "Why do rivers meander?", "model": "simulated"})
    assert await visitor.output() == whole.json()["text"]
