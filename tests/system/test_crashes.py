"""`kill -9` of a server at every point at which a generation waits: each of its rows is settled once, by the next."""

from __future__ import annotations

import time
from typing import Final

import pytest
from tests.reader import Reader
from tests.system.books import Row
from tests.system.customer import new_customer
from tests.system.moments import OLDEST_S, SLACK_S, WHOLE, Moments, moments_of, prompt, serving
from tests.system.stage import Stage
from tests.system.stores import PostgresStore, Store
from tests.upstream import DEADLINE_S
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")

SILENT: Final = ("connecting", "asked", "answered")
SPOKEN: Final = ("begun", "ending", "ending in session", "running")


async def kill(moments: Moments, store: Store) -> float:
    """Kill the server while one request waits for its row, and two that have their answer for their settlement.

    Returns the time at which the database was closed to it.
    """
    async with store.held():
        held_at = time.monotonic()
        await moments.ask("opening", WHOLE)
        moments.may_end.set()
        # The reader of the one without a session is told the end before its row is settled; the other's upstream
        # ended in the same instant, so that a request later the server has heard of both.
        await moments.readers["ending"].whole()
        assert (await moments.customers["ending"].ask("GET", "/v1/streams")).status == 200
        await moments.server.kill()
    return held_at


async def swept(store: Store, moments: Moments) -> dict[str, list[Row]]:
    """The rows of each generation, once none of them runs."""

    def all_settled(rows: list[Row]) -> bool:
        return not any(row["status"] == "running" and row["key_id"] in names for row in rows)

    names = {customer.id: name for name, customer in moments.customers.items()}
    rows = await eventually(store.rows, all_settled, within=2 * DEADLINE_S)
    return {name: [row for row in rows if row["key_id"] == id_] for id_, name in names.items()}


def assert_settled_once(rows: dict[str, list[Row]], moments: Moments, held_at: float) -> None:
    """What was under way has one row, interrupted, as it was seen at most a second before."""
    assert rows["opening"] == []
    assert moments.asked("opening") == 0
    for name in (*SILENT, *SPOKEN):
        (row,) = rows[name]
        assert (row["status"], row["reason"], row["source"]) == ("interrupted", "interrupted", "estimated")
        assert row["input_tokens"] > 0
    assert [rows[name][0]["output_tokens"] for name in SILENT] == [0, 0, 0]
    assert [rows[name][0]["output_tokens"] for name in SPOKEN[:3]] == [1, 1, 1]
    oldest = moments.tokens_by("running", held_at - OLDEST_S - SLACK_S)
    assert oldest <= rows["running"][0]["output_tokens"] <= moments.tokens_by("running", time.monotonic())
    (settled,) = rows["settled"]
    assert (settled["status"], settled["source"]) == ("finished", "reported")


def assert_told(moments: Moments) -> None:
    """Nobody was told an end but those who had it; in a session that is once the row is settled."""
    assert b"[DONE]" in moments.readers["ending"].answer.body
    for name in ("begun", "running", "ending in session"):
        assert b"[DONE]" not in moments.readers[name].answer.body


async def assert_goes_on(moments: Moments, url: str, *, kept: bool) -> None:
    """What came to nothing may be asked again; what had an answer is read as far as it was kept; sessions go on."""
    for name in ("opening", "asked", "answered"):
        moments.stage.set(prompt(name), WHOLE)
        asked = moments.asked(name)
        assert await moments.ask_again(name, url) == 200
        assert moments.asked(name) == asked + 1
    assert [await moments.ask_again(name, url) for name in (*SPOKEN, "settled")] == [200 if kept else 410] * 5
    customer = moments.customers["begun"].at(url)
    moments.stage.set("And now?", WHOLE)
    body = {"message": "And now?", "model": "openai/m", "session_id": "begun"}
    assert (await customer.ask("POST", "/v1/chat/stream", body)).status == 200
    said = (await customer.ask("GET", "/v1/sessions/begun")).json()["messages"]
    assert [message["role"] for message in said] == ["user", "user", "assistant"]


async def test_the_next_server_settles_what_a_killed_one_left(store: Store, stage: Stage) -> None:
    """Killed while generations wait for their row, for a connection, for the answer's head, for its first token, for
    the next one, for their settlement: after a restart on the same data those that may have cost something have one
    row each, interrupted; what had ended stays; idempotency keys and sessions go on as documented."""
    async with moments_of(store, stage) as moments:
        held_at = await kill(moments, store)
        assert_told(moments)
        async with serving(store, stage) as server:
            rows = await swept(store, moments)
            assert_settled_once(rows, moments, held_at)
            await assert_goes_on(moments, server.url, kept=True)
        after = await store.rows()
    assert len({row["id"] for row in after}) == len(after) == sum(map(len, rows.values())) + 4


async def test_a_server_that_runs_settles_what_another_left(postgres_store: PostgresStore, stage: Stage) -> None:
    """Of two servers on one PostgreSQL one is killed: the other settles its rows within seconds, and its own stream
    goes on meanwhile and is finished."""
    async with serving(postgres_store, stage, name="other") as other, Reader(other.url) as reader:
        customer = await new_customer(other.url)
        body = {"message": "Hi", "model": "simulated/n1000-d10"}
        await reader.ask("POST", "/v1/chat/stream", body, headers=customer.headers)
        async with moments_of(postgres_store, stage) as moments:
            held_at = await kill(moments, postgres_store)
            assert_settled_once(await swept(postgres_store, moments), moments, held_at)
            await assert_goes_on(moments, other.url, kept=False)
        assert (await reader.whole()).text
        assert [(row["status"], row["output_tokens"]) for row in await customer.settled()] == [("finished", 1000)]
