"""EventSource in a real Chromium: pages as tutorials write them, and what the browser does by itself."""

from __future__ import annotations

import asyncio
import json
from typing import Final

import pytest
from tests.browser.cutting import CuttingProxy
from tests.browser.visitor import Visitor
from tests.server import RunningServer
from tests.system.endpoints import whole_answer
from tests.system.model_server import ModelServer
from tests.upstream import answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI: Final = "openai/gpt-4o-mini"
SIMULATED: Final = "simulated/n30-d5"
FIRST: Final = ("one\n", "two ")
REST: Final = ("\n\nthree\u2028", "four\u0085 日本 🌊", " <b>five</b> ", "end.")
TEXT: Final = "".join(FIRST + REST)


@pytest.mark.parametrize("page", ["delta.html", "raw.html"])
async def test_a_page_of_another_origin_gets_the_whole_answer(
    visitor: Visitor, server: RunningServer, page: str
) -> None:
    """A page of another loopback origin reads the simulated answer whole: open mode lets it in."""
    await visitor.visit(page, server.url, model=SIMULATED)
    assert await visitor.done() == await whole_answer(server.url, SIMULATED)


@pytest.mark.parametrize("page", ["delta.html", "raw.html"])
async def test_a_page_of_the_same_origin_gets_the_whole_answer(
    visitor: Visitor, server: RunningServer, page: str
) -> None:
    """So does one that lies on the server's own origin."""
    await visitor.visit_as_own(page, server.url, model=SIMULATED)
    assert await visitor.done() == await whole_answer(server.url, SIMULATED)


@pytest.mark.parametrize("page", ["delta.html", "raw.html"])
async def test_tokens_are_on_the_page_before_the_next_is_said(
    visitor: Visitor, server: RunningServer, model_server: ModelServer, page: str
) -> None:
    """What the upstream said is shown while it is still silent about the rest; the text comes through unchanged."""
    gate = asyncio.Event()
    model_server.say(*FIRST, gate, *REST)
    await visitor.visit(page, server.url, model=OPENAI)
    await visitor.shows("".join(FIRST))
    gate.set()
    assert await visitor.done() == TEXT


# Connections that are cut


@pytest.mark.parametrize("page", ["delta.html", "raw.html"])
async def test_an_answer_goes_on_where_the_connection_was_cut(
    visitor: Visitor, server: RunningServer, model_server: ModelServer, page: str
) -> None:
    """Cut in the middle of a frame, the browser comes back by itself and goes on live: each token once, asked once."""
    more, rest, asked = asyncio.Event(), asyncio.Event(), model_server.asked
    model_server.say("one\n", more, "two ", rest, *REST)
    async with CuttingProxy(server.url) as proxy:
        proxy.cut_at(b"wo ")
        await visitor.visit(page, proxy.url, model=OPENAI)
        await visitor.shows("one\n")
        more.set()
        await proxy.was_asked(2)
        await visitor.shows("one\ntwo ")
        rest.set()
        assert await visitor.done() == TEXT
    assert model_server.asked == asked + 1
    assert [bool(cursor) for cursor in proxy.cursors] == [False, True]


@pytest.mark.parametrize("page", ["delta.html", "raw.html"])
async def test_an_answer_that_ended_meanwhile_is_completed(
    visitor: Visitor, server: RunningServer, model_server: ModelServer, page: str
) -> None:
    """Nothing is lost of what the upstream says while the browser is away."""
    rest, asked = asyncio.Event(), model_server.asked
    model_server.say(*FIRST, rest, *REST)
    async with CuttingProxy(server.url) as proxy:
        await visitor.visit(page, proxy.url, model=OPENAI)
        await visitor.shows("".join(FIRST))
        proxy.cut_at(b"three")
        rest.set()
        await proxy.has_cut()
        assert await visitor.done() == TEXT
    assert model_server.asked == asked + 1
    assert [bool(cursor) for cursor in proxy.cursors] == [False, True]


async def test_a_connection_lost_before_the_first_token_resumes(
    visitor: Visitor, server: RunningServer, model_server: ModelServer
) -> None:
    """The first frame, an id alone, is enough for the browser to come back to the same answer."""
    gate, asked = asyncio.Event(), model_server.asked
    model_server.say(gate, *FIRST, *REST)
    received = await visitor.watch_arrival()
    async with CuttingProxy(server.url) as proxy:
        await visitor.visit("delta.html", proxy.url, model=OPENAI)
        await received.wait()
        proxy.cut()
        await proxy.was_asked(2)
        gate.set()
        assert await visitor.done() == TEXT
    assert model_server.asked == asked + 1
    assert (proxy.cursors[1] or "").endswith(".0")


# Ends that the page does not see to


@pytest.mark.parametrize("path", ["/v1/chat", "/chat/stream"])
async def test_a_page_that_never_closes_is_let_go(
    visitor: Visitor, server: RunningServer, model_server: ModelServer, path: str
) -> None:
    """A browser that asks again after the end is told that nothing is left, and stops; the answer stands there once."""
    asked = model_server.asked
    model_server.say(*FIRST, *REST)
    await visitor.visit("never_closes.html", server.url, model=OPENAI, path=path)
    await visitor.gave_up()
    assert await visitor.output() == TEXT
    assert await visitor.page.evaluate("errors") == []
    assert model_server.asked == asked + 1


@pytest.mark.parametrize("path", ["/v1/chat", "/chat/stream"])
async def test_a_refusal_is_an_event_and_stops_the_browser(
    visitor: Visitor, server: RunningServer, model_server: ModelServer, path: str
) -> None:
    """An upstream's refusal arrives as an `error` event with its words; the reconnect gets 204, so it asks no more."""
    asked = model_server.asked
    model_server.refuse(answer(b'{"error":{"message":"no such river"}}', "400 Bad Request"))
    async with CuttingProxy(server.url) as proxy:
        await visitor.visit("never_closes.html", proxy.url, model=OPENAI, path=path)
        await visitor.gave_up()
    [error] = await visitor.page.evaluate("errors")
    assert "no such river" in error
    if path == "/v1/chat":
        assert {"code": "upstream_refused", "done": True}.items() <= json.loads(error).items()
    assert await visitor.output() == ""
    assert model_server.asked == asked + 1
    assert len(proxy.cursors) == 2
