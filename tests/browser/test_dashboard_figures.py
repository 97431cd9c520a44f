"""The dashboard in a real Chromium: its figures are those of the API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect
from tests.browser.dashboard import (
    ADMIN,
    ADMIN_KEY,
    PATIENCE_MS,
    PRICED,
    SLOW,
    DashboardPage,
    get_data,
    make_key,
)
from tests.reader import Reader, ask
from tests.server import RunningServer, running_server
from tests.system.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def spent(model_server: ModelServer) -> AsyncIterator[tuple[RunningServer, str]]:
    """A server with a few rows of each kind, and the id of the key that spent."""
    env = {**model_server.env, "TAILRACE_ADMIN_KEY": ADMIN_KEY, "OLLAMA_HOST": "http://127.0.0.1:9"}
    async with running_server(env=env, config=PRICED) as server:
        key_id, key = await make_key(server, "spender", budget_usd="5/day")
        await make_key(server, "idle", budget_usd="5")
        for model in ("priced", "priced", "simulated/n30-d1", "simulated/e500"):
            await ask(server.url, "POST", "/v1/chat", {"message": "Hi", "model": model}, headers={"x-api-key": key})
        async with Reader(server.url) as reader:
            await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": SLOW}, headers=ADMIN)
            stream_id = (await reader.until(b"delta")).headers["x-tailrace-stream"]
            await ask(server.url, "POST", f"/v1/streams/{stream_id}/cancel", headers=ADMIN)
            await reader.whole()
        yield server, key_id


@pytest_asyncio.fixture(loop_scope="module")
async def drawn(browser: Browser, spent: tuple[RunningServer, str]) -> AsyncIterator[DashboardPage]:
    """The dashboard of that server."""
    context = await browser.new_context()
    dashboard = DashboardPage(await context.new_page(), spent[0].url)
    await dashboard.enter(ADMIN_KEY)
    yield dashboard
    await context.close()


@pytest.mark.parametrize("measure", ["output_tokens", "input_tokens", "generations"])
async def test_the_chart_is_the_ledgers(drawn: DashboardPage, spent: tuple[RunningServer, str], measure: str) -> None:
    """Each model's figure in the table behind the chart is the one of `/v1/usage`, and so is the sum."""
    by_model = {total["model"]: total for total in await get_data(spent[0], "/v1/usage?by=model")}
    await drawn.choose("Show", measure)
    (today,) = await drawn.table_behind_the_chart()
    shown = {name: number(text) for name, text in today.items() if name not in ("Time (UTC)", "Sum")}
    assert shown == {model: total[measure] for model, total in by_model.items() if total[measure]}
    assert number(today["Sum"]) == sum(total[measure] for total in by_model.values())


async def test_the_facts_are_the_ledgers(drawn: DashboardPage, spent: tuple[RunningServer, str]) -> None:
    """How many answers, how many of them aborted, tokens and cost."""
    by_status = {total["status"]: total for total in await get_data(spent[0], "/v1/usage?by=status")}
    counts = {status: total["generations"] for status, total in by_status.items()}
    assert counts == {"finished": 3, "aborted": 1, "failed": 1}
    await drawn.reads(drawn.fact("answers"), "5")
    await drawn.reads(drawn.fact("aborted"), "20.0 %")
    tokens = sum(total["output_tokens"] for total in by_status.values())
    await drawn.reads(drawn.fact("tokens"), f"{tokens:,}")
    cost = sum(total["cost_usd"] or 0 for total in by_status.values())
    await drawn.reads(drawn.fact("cost"), f"${cost:.2f}")


async def test_the_chart_is_split_by_key_and_by_hour(drawn: DashboardPage) -> None:
    """Another split and another range are asked for anew, and keys have their names."""
    await drawn.choose("Show", "generations")
    await drawn.choose("Split by", "key")
    await drawn.choose("Range", "24h")
    await expect(drawn.page.locator("#usage .legend")).to_contain_text("spender", timeout=PATIENCE_MS)
    hours = await drawn.table_behind_the_chart()
    assert sum(number(hour["spender"]) for hour in hours) == 4
    assert sum(number(hour["Sum"]) for hour in hours) == 5


async def test_spending_stands_beside_its_budget(drawn: DashboardPage, spent: tuple[RunningServer, str]) -> None:
    """What `/v1/spend` says, for each key; the share of the budget is that of what was spent."""
    faces = {face["key_id"]: face for face in await get_data(spent[0], "/v1/spend")}
    day = faces[spent[1]]["day_usd"]
    assert day == faces[spent[1]]["budget"]["spent_usd"] > 0
    budget = drawn.cell(drawn.page.locator(f'#spend tr[data-id="{spent[1]}"]'), "Budget")
    await expect(budget).to_contain_text(f"${day:.2f} of $5.00 this day ({round(day / 5 * 100)} %)")
    await expect(drawn.page.locator("#spend tbody tr")).to_have_count(len(faces))


async def test_waiting_times_are_the_ledgers(drawn: DashboardPage, spent: tuple[RunningServer, str]) -> None:
    """The percentiles of all models are those of `/v1/usage/latency`, as near as they are written."""
    everything = (await get_data(spent[0], "/v1/usage/latency"))[0]
    row = drawn.page.locator("#waiting tbody tr").first
    for percentile in ("p50", "p90", "p99"):
        first, between = await row.locator(f'td[data-name="{percentile}"]').all_inner_texts()
        assert number(first.removesuffix(" ms")) == pytest.approx(everything["first_token_ms"][percentile], abs=0.51)
        assert number(between.removesuffix(" ms")) == pytest.approx(
            everything["between_tokens_ms"][percentile], abs=0.051
        )


async def test_an_upstreams_failure_is_shown(drawn: DashboardPage) -> None:
    """With its code and its age; an upstream that nobody asked is there too."""
    upstream = drawn.page.locator('#upstreams tr[data-id="simulated"]')
    await expect(drawn.cell(upstream, "Last failure")).to_contain_text("upstream error (502)")
    assert int(await drawn.cell(upstream, "Failures, 5 min").inner_text()) >= 1
    await drawn.reads(drawn.cell(drawn.page.locator('#upstreams tr[data-id="ollama"]'), "State"), "idle")


def number(text: str) -> float:
    return float(text.replace(",", ""))


async def test_the_chart_is_read_by_keyboard(dashboard: DashboardPage, keyed: RunningServer) -> None:
    """The arrow keys go from bar to bar, and each says its figures."""
    await ask(keyed.url, "POST", "/v1/chat", {"message": "Hi", "model": "simulated/n5-d1"}, headers=ADMIN)
    await dashboard.choose("Show", "generations")
    chart, tip = dashboard.page.locator("#usage svg.bars"), dashboard.page.locator("#usage .tip")
    await expect(chart).to_have_attribute("aria-label", re.compile("answers by model, 7 days"))
    await chart.focus()
    await dashboard.page.keyboard.press("End")
    await expect(tip).to_have_text(re.compile(r"^\w+ \d+ UTC: [1-9]"), timeout=PATIENCE_MS)
    last = await tip.inner_text()
    await dashboard.page.keyboard.press("ArrowLeft")
    await expect(tip).not_to_have_text(last)
