"""The dashboard in a real Chromium: who may enter, and the keys that are made, limited and revoked there."""

from __future__ import annotations

import time

import pytest
from playwright.async_api import Browser, expect
from tests.browser.dashboard import (
    ADMIN,
    ADMIN_KEY,
    NONE,
    PATIENCE_MS,
    SLOW,
    DashboardPage,
    make_key,
)
from tests.reader import Reader, ask
from tests.server import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_only_an_admin_key_opens(browser: Browser, keyed: RunningServer) -> None:
    """A wrong key is told so; one that is no admin's is told what it lacks; an admin's opens, and no script has it."""
    _, plain = await make_key(keyed, "plain")
    context = await browser.new_context()
    dashboard = DashboardPage(await context.new_page(), keyed.url)
    await dashboard.open()
    await dashboard.sign_in("tr_admin_" + "x" * 43)
    await expect(dashboard.door.get_by_role("alert")).to_contain_text("not valid")
    await dashboard.sign_in(plain)
    await expect(dashboard.page.get_by_role("heading", name="This needs an admin key")).to_be_visible()
    assert not [path for path in dashboard.requests if path.startswith("/v1/")]
    await dashboard.page.get_by_role("button", name="Sign in with another key").click()
    await dashboard.sign_in(ADMIN_KEY)
    await dashboard.settled()
    (cookie,) = await context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert (
        await dashboard.page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
    )
    await dashboard.page.reload()
    await dashboard.settled()
    await dashboard.page.get_by_role("button", name="Sign out").click()
    await expect(dashboard.door).to_be_visible()
    await context.close()


async def test_a_key_that_is_revoked_leaves_its_page_at_the_door(browser: Browser, keyed: RunningServer) -> None:
    """The page of an admin whose key is revoked asks for another one, and goes on with it."""
    key_id, key = await make_key(keyed, "leaver", admin=True)
    context = await browser.new_context()
    dashboard = DashboardPage(await context.new_page(), keyed.url)
    await dashboard.enter(key)
    await ask(keyed.url, "DELETE", f"/v1/keys/{key_id}", headers=ADMIN)
    await dashboard.door.wait_for()
    await dashboard.sign_in(ADMIN_KEY)
    await expect(dashboard.door).to_have_count(0)
    await dashboard.page.get_by_label("Show revoked keys").check()
    await expect(dashboard.cell(dashboard.key("leaver"), "State")).to_contain_text("revoked", timeout=PATIENCE_MS)
    await context.close()


async def test_the_first_key_closes_an_open_server(browser: Browser) -> None:
    """Open to its machine until a key exists: the first one is an admin's, and the page goes on with it."""
    context = await browser.new_context()
    async with running_server() as server:
        dashboard = DashboardPage(await context.new_page(), server.url)
        await dashboard.open()
        await dashboard.settled()
        key = await dashboard.make_key("mine")
        await dashboard.settled()
        await expect(dashboard.page.locator(".who")).to_have_text("mine")
        await dashboard.reads(dashboard.cell(dashboard.key("mine"), "Role"), "admin")
        assert (await ask(server.url, "GET", "/v1/overview")).status == 401
        assert (await ask(server.url, "GET", "/v1/overview", headers={"x-api-key": key})).status == 200
    await context.close()


async def test_a_key_is_made_used_limited_and_revoked(dashboard: DashboardPage, keyed: RunningServer) -> None:
    """Its secret is shown once and works; its limits are as written; revoked, its running stream ends within 2 s."""
    key = await dashboard.make_key("partner", **{"Requests a minute": "100", "Budget in USD": "50/month"})
    row = dashboard.key("partner")
    await dashboard.reads(dashboard.cell(row, "Budget"), "$50/month")
    await dashboard.reads(dashboard.cell(row, "Requests/min"), "100")
    assert key.rpartition("_")[2] not in await dashboard.page.content()
    await row.get_by_role("button", name="Change partner").click()
    form = dashboard.page.get_by_role("dialog", name="Change partner")
    await form.get_by_label("Requests a minute").fill("")
    await form.get_by_label("Tokens a minute").fill("5000000")
    await form.get_by_role("button", name="Save").click()
    await dashboard.reads(dashboard.cell(row, "Tokens/min"), "5,000,000")
    await dashboard.reads(dashboard.cell(row, "Requests/min"), NONE)
    await dashboard.reads(dashboard.cell(row, "Budget"), "$50/month")
    async with Reader(keyed.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": SLOW}, headers={"x-api-key": key})
        stream_id = (await reader.until(b"delta")).headers["x-tailrace-stream"]
        await dashboard.stream(stream_id).wait_for()
        await row.get_by_role("button", name="Revoke partner").click()
        await dashboard.confirm("Revoke the key")
        revoked = time.monotonic()
        await reader.until(b"key_revoked")
        assert time.monotonic() - revoked < 2
    await dashboard.reads(dashboard.cell(dashboard.stream(stream_id), "Status"), "key revoked")
    await expect(row).to_have_count(0, timeout=PATIENCE_MS)
    await dashboard.page.get_by_label("Show revoked keys").check()
    await expect(dashboard.cell(row, "State")).to_contain_text("revoked")


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("Budget in USD", "lots", "must be an amount"),
        ("Expires", "yesterday", "must be a span"),
        ("Models", "nonsense", "nonsense"),
    ],
)
async def test_a_wrong_field_is_named(dashboard: DashboardPage, label: str, value: str, said: str) -> None:
    """What the server refuses is said beside the form, whose text stays, and the field has the focus."""
    await dashboard.page.get_by_role("button", name="Make a key").click()
    form = dashboard.page.get_by_role("dialog", name="Make a key")
    await form.get_by_label("Name", exact=True).fill("wrong")
    await form.get_by_label(label).fill(value)
    await form.get_by_role("button", name="Make the key").click()
    await expect(form.get_by_role("alert")).to_contain_text(said)
    await expect(form.get_by_label(label)).to_be_focused()
    await expect(form.get_by_label("Name", exact=True)).to_have_value("wrong")
    await form.get_by_role("button", name="Leave").click()
    await expect(dashboard.key("wrong")).to_have_count(0)
