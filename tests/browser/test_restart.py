"""A server that dies while Chromium's EventSource reads from it, and another that takes its place."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

import pytest
from tests.browser.cutting import CuttingProxy
from tests.browser.visitor import Visitor
from tests.server import running_server
from tests.system.keeping import kept
from tests.system.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIRST: Final = ("one ", "two ", "three ")
REST: Final = ("four ", "five.")


@pytest.mark.parametrize("path", ["/v1/chat", "/chat/stream"])
async def test_the_browser_is_told_that_the_rest_is_lost(
    visitor: Visitor, model_server: ModelServer, tmp_path: Path, path: str
) -> None:
    """The server is killed in mid-stream and started again: the browser comes back by itself, gets nothing twice and an
    `error` event that says so, comes back once more, is told that nothing is left, and stops. Nothing was asked again.
    """
    asked = model_server.asked
    model_server.say(*FIRST, asyncio.Event(), *REST)
    env = {**model_server.env, "TAILRACE_DATA_DIR": str(tmp_path)}
    async with running_server(env=env) as server, CuttingProxy(server.url) as proxy:
        await visitor.visit("never_closes.html", proxy.url, model="openai/gpt-4o-mini", path=path)
        await visitor.shows("".join(FIRST))
        await kept(tmp_path, FIRST[-1])
        await server.kill()
        async with running_server(env=env) as successor:
            proxy.point_at(successor.url)
            await visitor.gave_up()
    assert await visitor.output() == "".join(FIRST)
    [error] = await visitor.page.evaluate("errors")
    assert "lost" in error
    if path == "/v1/chat":
        assert json.loads(error)["code"] == "interrupted"
    assert model_server.asked == asked + 1


async def test_an_answer_that_had_ended_is_completed_by_the_next_server(
    visitor: Visitor, model_server: ModelServer, tmp_path: Path
) -> None:
    """The answer ended while the browser was cut off, and the server was killed after it: its successor gives the
    browser the rest, each token once."""
    gate, asked = asyncio.Event(), model_server.asked
    model_server.say(*FIRST, gate, *REST)
    env = {**model_server.env, "TAILRACE_DATA_DIR": str(tmp_path)}
    async with running_server(env=env) as server, CuttingProxy(server.url) as proxy:
        await visitor.visit("delta.html", proxy.url, model="openai/gpt-4o-mini")
        await visitor.shows("".join(FIRST))
        proxy.point_at("http://127.0.0.1:9")
        proxy.cut_at(b"four")
        gate.set()
        await proxy.has_cut()
        await kept(tmp_path, REST[-1], "finished")
        await server.kill()
        async with running_server(env=env) as successor:
            proxy.point_at(successor.url)
            assert await visitor.done() == "".join(FIRST + REST)
    assert model_server.asked == asked + 1
