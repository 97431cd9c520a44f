"""What the browser itself makes of our frames' ids, connection by connection.

The cases say in our words what these files of web-platform-tests say, here of our server's own streams:
`eventsource-reconnect`, `format-field-id`, `format-field-id-2`, `request-status-error`
(https://github.com/web-platform-tests/wpt/tree/master/eventsource).
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

import pytest
from tests.browser.cutting import CuttingProxy
from tests.browser.visitor import Visitor
from tests.reader import ask
from tests.server import RunningServer
from tests.system.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI: Final = "openai/gpt-4o-mini"

LISTEN: Final = """
(path) => {
  window.seen = [];
  window.source = new EventSource(path);
  for (const type of ["message", "token", "usage", "done", "error"]) {
    window.source.addEventListener(type, (event) => {
      if (event.data === undefined) return;
      window.seen.push([type, event.lastEventId, event.data]);
      if (event.data === "[DONE]" || type === "done") window.source.close();
    });
  }
}
"""


async def listen(visitor: Visitor, origin: str, path: str) -> None:
    """Open an EventSource on a page of this origin."""
    await visitor.page.goto(f"{origin}/health")
    await visitor.page.evaluate(LISTEN, path)


async def seen(visitor: Visitor, count: int) -> list[list[str]]:
    """Wait until the page has had so many events: type, last event id, data of each."""
    await visitor.page.wait_for_function("count => window.seen.length >= count", arg=count)
    events: list[list[str]] = await visitor.page.evaluate("window.seen")
    return events


async def closed(visitor: Visitor) -> list[list[str]]:
    """Wait until the EventSource is closed for good: all that the page has had."""
    await visitor.page.wait_for_function("window.source.readyState === EventSource.CLOSED")
    return await seen(visitor, 0)


@pytest.mark.parametrize("path", ["/v1/chat", "/chat/stream"])
async def test_each_event_bears_its_frame_s_id(visitor: Visitor, server: RunningServer, path: str) -> None:
    """`lastEventId` is the id of the very frame, in the order of the answer, and never stays behind."""
    await listen(visitor, server.url, f"{path}?message=Hi&model=simulated/n12-d2")
    events = await closed(visitor)
    stream = events[0][1].rpartition(".")[0]
    kept = await ask(server.url, "GET", f"/v1/streams/{stream}", headers={"accept": "text/event-stream"})
    # What is kept is caught up on, and so joined: its last frames are the stream's own last ones.
    assert [event.id for event in kept.events][-2:] == [place for _, place, _ in events][-2:]
    numbers = [tuple(map(int, place.split(".")[1:])) for _, place, _ in events]
    assert len(numbers) == len(set(numbers))
    assert numbers[:-2] == sorted(numbers[:-2])


async def test_lost_again_and_again_it_asks_for_what_it_lacks(
    visitor: Visitor, server: RunningServer, model_server: ModelServer
) -> None:
    """Cut three times, it sends the id of the last event that it had each time; each token comes once, asked once."""
    gates, asked = [asyncio.Event() for _ in range(3)], model_server.asked
    model_server.say("one ", gates[0], "two ", gates[1], "three ", gates[2], "four.")
    async with CuttingProxy(server.url) as proxy:
        await listen(visitor, proxy.url, f"/v1/chat?message=Hi&model={OPENAI}")
        had: list[str] = []
        for number, gate in enumerate(gates, 1):
            had.append((await seen(visitor, number))[-1][1])
            before = len(proxy.cursors)
            proxy.cut()
            await proxy.was_asked(before + 1)
            gate.set()
        events = await closed(visitor)
    assert [cursor for cursor in proxy.cursors if cursor] == had
    assert "".join(_delta(data) for _, _, data in events) == "one two three four."
    assert model_server.asked == asked + 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat",
        "/v1/chat?message=Hi&model=no/such",
        "/v1/chat?message=Hi&token=trt_wrong.token",
        "/v1/streams/gen_000000000000000000000000",
        "/v1/streams/no-id",
    ],
)
async def test_a_status_that_is_no_stream_ends_it(visitor: Visitor, server: RunningServer, path: str) -> None:
    """Refused, the browser closes for good after one request, and does not ask again and again."""
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    await listen(visitor, server.url, path)
    await closed(visitor)
    assert [url for url in asked if url.startswith(f"{server.url}/v1/")] == [f"{server.url}{path}"]


def _delta(data: str) -> str:
    return "" if data == "[DONE]" else str(json.loads(data)["delta"])
