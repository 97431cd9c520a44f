"""The dashboard in a real Chromium: nothing that others wrote runs there, and everybody can use it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from playwright.async_api import Browser, expect
from tests.browser.dashboard import (
    ADMIN,
    ADMIN_KEY,
    PATIENCE_MS,
    SLOW,
    DashboardPage,
    make_key,
)
from tests.reader import Reader, ask
from tests.server import RunningServer
from tests.system.model_server import ModelServer
from tests.upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTACKS: Final = (
    "<script>window.ran=1</script>",
    "<img src=/assets/probe.png onerror=window.ran=1>",
    "<svg/onload=window.ran=1>",
    "\"><iframe srcdoc='<script>parent.ran=1</script>'>",
    "<style>*{background:url(/assets/probe.png)}</style>",
    "javascript:window.ran=1",
    "</td></tr></table><b onclick=window.ran=1>x</b>",
    "__proto__",
    "constructor",
    "{{7*7}}${7*7}",
    "' onmouseover='window.ran=1",
)


async def test_nothing_that_others_wrote_runs(
    dashboard: DashboardPage, keyed: RunningServer, model_server: ModelServer
) -> None:
    """Names of keys, users and models, prompts and answers are text: no script runs, nothing is fetched or stopped."""
    text = "\n".join(ATTACKS)
    model_server.say(*ATTACKS, Step.STALL)
    hostile = [await make_key(keyed, attack) for attack in ATTACKS]
    async with AsyncExitStack() as stack:
        ids = [
            await stream_as(keyed, await stack.enter_async_context(Reader(keyed.url)), key, attack, text)
            for (_, key), attack in zip(hostile, ATTACKS, strict=True)
        ]
        for stream_id, attack in zip(ids, ATTACKS, strict=True):
            row = dashboard.stream(stream_id)
            for column, wanted in (("Key", attack), ("User", attack), ("Model", f"openai/{attack}")):
                await dashboard.reads(dashboard.cell(row, column), wanted)
        await dashboard.stream(ids[0]).get_by_role("button", name="Watch").click()
        await dashboard.reads(dashboard.watched.locator(".said"), "".join(ATTACKS))
    await dashboard.choose("Split by", "key")
    await expect(dashboard.page.locator("#usage .legend")).to_contain_text("__proto__", timeout=PATIENCE_MS)
    for attack in ATTACKS:
        await expect(dashboard.key(attack)).to_have_count(1, timeout=PATIENCE_MS)
    await dashboard.choose("Split by", "model")
    await dashboard.stream(ids[1]).wait_for()
    assert await dashboard.page.evaluate("window.ran ?? null") is None
    assert await dashboard.page.locator("main :is(img, iframe, script, style, b[onclick])").count() == 0
    assert not [path for path in dashboard.requests if "probe" in path]
    assert await dashboard.violations() == []


async def stream_as(server: RunningServer, reader: Reader, key: str, name: str, text: str) -> str:
    """Begin a stream of a user and a model with this name; its id."""
    token = (await ask(server.url, "POST", "/v1/tokens", {"user": name}, headers={"x-api-key": key})).json()["token"]
    body = {"model": f"openai/{name}", "messages": [{"role": "user", "content": text}], "stream": True}
    await reader.ask("POST", "/v1/chat/completions", body, headers={"authorization": f"Bearer {token}"})
    return (await reader.until(b"onmouseover")).headers["x-tailrace-stream"]


async def test_the_policy_is_strict(dashboard: DashboardPage) -> None:
    """No inline script, no string that becomes markup: the browser itself refuses both on this page."""
    refused = await dashboard.page.evaluate(
        """() => {
            try { document.createElement("p").innerHTML = "<b>x</b>"; return ""; } catch (error) { return error.name; }
        }"""
    )
    assert refused == "TypeError"
    assert "require-trusted-types-for" in " ".join(await dashboard.violations())
    await dashboard.page.evaluate("window.violations = []")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 375), ("dark", 375)], ids=str)
async def test_everybody_can_use_it(browser: Browser, keyed: RunningServer, scheme: Any, width: int) -> None:
    """axe-core has nothing serious to say of any view, and nothing is wider than the screen."""
    context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    await make_key(keyed, "w" * 200, budget_usd="5/day")
    async with Reader(keyed.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": SLOW}, headers=ADMIN)
        stream_id = (await reader.until(b"delta")).headers["x-tailrace-stream"]
        dashboard = DashboardPage(await context.new_page(), keyed.url)
        await dashboard.open()
        await dashboard.door.wait_for()
        assert await dashboard.serious_findings() == []
        await dashboard.sign_in(ADMIN_KEY)
        await dashboard.settled()
        await dashboard.stream(stream_id).get_by_role("button", name="Watch").click()
        await dashboard.page.locator("#usage summary").click()
        assert await dashboard.serious_findings() == []
        assert await dashboard.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        await dashboard.page.get_by_role("button", name="Make a key").click()
        assert await dashboard.serious_findings() == []
        await dashboard.page.keyboard.press("Escape")
        await dashboard.stream(stream_id).get_by_role("button", name="Cancel").click()
        assert await dashboard.serious_findings() == []
        await dashboard.confirm("Cancel the stream")
    await context.close()
