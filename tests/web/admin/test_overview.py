"""`/v1/overview`: what runs at this moment, its readers and figures, how the upstreams do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.reader import Reader, ask
from tests.server import serving
from tests.waiting import eventually
from tests.web.admin.charted import fail_upstream
from tests.web.admin.conftest import ADMIN_KEY, Desk
from tests.web.test_figures import row

from tailrace import create_app
from tailrace.ledger import Scope
from tailrace.settings import Secret, Settings

pytestmark = pytest.mark.usefixtures("no_leaks")

ADMIN = {"x-api-key": ADMIN_KEY}
SLOW = {"message": "Hi", "model": "simulated/n5000-d5", "on_disconnect": "continue"}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A whole server with an admin key."""
    async with serving(create_app(Settings(admin_key=Secret(ADMIN_KEY)))) as url:
        yield url


async def look(url: str) -> Any:
    """The overview as an admin sees it."""
    answer = await ask(url, "GET", "/v1/overview", headers=ADMIN)
    assert answer.status == 200
    return answer.json()


async def test_a_running_stream_is_there_with_its_readers(url: str) -> None:
    """Whose it is, what it has come to, who reads it; once it was cancelled it is gone."""
    made = (await ask(url, "POST", "/v1/keys", {"name": "Bob"}, headers=ADMIN)).json()
    async with Reader(url) as first, Reader(url) as second:
        await first.ask("POST", "/v1/chat/stream", SLOW, headers={"x-api-key": made["key"]})
        stream_id = (await first.until(b"delta")).headers["x-tailrace-stream"]
        target = f"/v1/streams/{stream_id}"
        await second.ask("GET", target, headers={**ADMIN, "accept": "text/event-stream"})
        await second.until(b"delta")
        overview = await look(url)
        (stream,) = overview["streams"]
        assert overview["running"] == 1
        assert stream["readers"] == 2
        assert [stream[name] for name in ("id", "key_id", "key_name", "user", "provider", "model", "format")] == [
            stream_id, made["id"], "Bob", None, "simulated", "simulated/n5000-d5", "delta"
        ]  # fmt: skip
        assert stream["ttft_ms"] is not None
        assert stream["cost_usd"] == 0
        more = await eventually(
            lambda: look(url), lambda seen: seen["streams"][0]["output_tokens"] > stream["output_tokens"]
        )
        assert [upstream["running"] for upstream in more["upstreams"] if upstream["name"] == "simulated"] == [1]
        assert (await ask(url, "POST", f"{target}/cancel", headers=ADMIN)).json()["status"] == "aborted"
    after = await look(url)
    assert (after["running"], after["streams"]) == (0, [])
    assert after["latency"]["first_token_ms"]["p50"] is not None
    assert after["latency"]["between_tokens_ms"]["p99"] > 0


async def test_an_upstreams_failure_is_told(url: str) -> None:
    """How many of its requests failed, and the last failure's code, status and time."""
    for model, status in (("simulated/n1", 200), ("simulated/e503", 502), ("simulated/e400", 400)):
        answer = await ask(url, "POST", "/v1/chat", {"message": "Hi", "model": model}, headers=ADMIN)
        assert answer.status == status
    overview = await look(url)
    (upstream,) = [upstream for upstream in overview["upstreams"] if upstream["name"] == "simulated"]
    assert upstream["kind"] == "simulated"
    assert upstream["failures"] == upstream["requests"] - 2 > 0
    assert (upstream["last_failure"]["code"], upstream["last_failure"]["status"]) == ("upstream_error", 502)
    assert upstream["last_answer_at"] <= overview["now"]


async def test_other_processes_streams_are_there_too(desk: Desk) -> None:
    """As their last checkpoint has them; who reads them is not known here."""
    desk.ledger.kept_rows = [
        row(status="running", scope=Scope(key_id="k", user="ann"), output_tokens=9, cost=None), row(id="gen_2")
    ]  # fmt: skip
    overview = (await desk.ask("GET", "/v1/overview")).json()
    assert (overview["ledger_answers"], overview["pid"], overview["draining"]) == (True, os.getpid(), False)
    (stream,) = overview["streams"]
    assert [stream[name] for name in ("id", "key_id", "key_name", "user", "output_tokens", "cost_usd", "readers")] == [
        "gen_1", "k", None, "ann", 9, None, None
    ]  # fmt: skip


async def test_it_answers_while_the_database_is_down(desk: Desk) -> None:
    """Just when one looks most: what this process knows is there, and that the rest is not."""
    await desk.ask("GET", "/v1/overview")
    desk.ledger.down = True
    await fail_upstream(desk.metrics.health)
    overview = (await desk.ask("GET", "/v1/overview")).json()
    assert overview["ledger_answers"] is False
    assert overview["upstreams"][0]["failures"] == 1
