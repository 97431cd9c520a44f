"""Keys on two servers that share a PostgreSQL: what one is told the other knows within two seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from tests.reader import Reader, ask
from tests.system.commands import run
from tests.system.customer import ADMIN_KEY, Customer, new_customer
from tests.system.moments import serving
from tests.system.stage import Stage
from tests.system.stores import PostgresStore, SqliteStore
from tests.system.voices import OpenAIVoice
from tests.upstream import Step
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")

WITHIN_S: Final = 2.0
VOICE: Final = OpenAIVoice()
BODY: Final = {"message": "Speak.", "model": "openai/m"}


async def over_http(customer: Customer, store: PostgresStore) -> None:
    """By an admin of the first server."""
    revoked = await ask(customer.url, "DELETE", f"/v1/keys/{customer.id}", headers={"x-api-key": ADMIN_KEY})
    assert revoked.status == 200


async def by_command(customer: Customer, store: PostgresStore) -> None:
    """By the command line, beside both."""
    revoked = await run("keys", "revoke", customer.id, env=store.env("command"))
    assert revoked.status == 0, revoked


async def refused(customer: Customer) -> None:
    """Wait until the key is refused."""
    await eventually(lambda: customer.ask("GET", "/v1/streams"), lambda answer: answer.status == 401)


@pytest.mark.parametrize("revoke", [over_http, by_command])
async def test_a_revoked_key_ends_everywhere(
    postgres_store: PostgresStore, stage: Stage, revoke: Callable[[Customer, PostgresStore], Awaitable[None]]
) -> None:
    """Within two seconds the key is refused by both servers, and its running streams on both end with `key_revoked`,
    their rows failed, their upstreams closed; another key's stream goes on."""
    stage.set("Speak.", [VOICE.head, VOICE.say("Hello"), Step.STALL])
    async with (
        serving(postgres_store, stage, name="one") as one,
        serving(postgres_store, stage, name="two") as two,
        Reader(one.url) as near,
        Reader(two.url) as far,
        Reader(two.url) as other,
    ):
        customer, bystander = await new_customer(one.url), await new_customer(one.url)
        for reader, key in ((near, customer), (far, customer), (other, bystander)):
            await reader.ask("POST", "/v1/chat/stream", BODY, headers=key.headers)
            await reader.until(b"Hello")
        await revoke(customer, postgres_store)
        revoked_at = time.monotonic()
        for reader in (near, far):
            assert (await reader.whole()).objects[-1]["code"] == "key_revoked"
        for url in (one.url, two.url):
            await refused(customer.at(url))
        assert time.monotonic() - revoked_at < WITHIN_S
        await stage.upstream.closed_by(2)
        await eventually(postgres_store.rows, lambda rows: sum(row["status"] == "running" for row in rows) == 1)
        rows = [row for row in await postgres_store.rows() if row["key_id"] == customer.id]
        assert [(row["status"], row["reason"], row["output_tokens"]) for row in rows] == [
            ("failed", "key_revoked", 1)
        ] * 2
        assert not other.answer.whole


async def test_a_key_that_is_new_to_a_server_comes_at_once(sqlite_store: SqliteStore, stage: Stage) -> None:
    """A hundred requests of a right key that this process has never seen, all at once, are no guesses: all pass, while
    a wrong key's are refused, and held up after some."""
    async with serving(sqlite_store, stage) as server:
        customer = await new_customer(server.url)
    async with serving(sqlite_store, stage) as server:
        again = customer.at(server.url)
        answers = await asyncio.gather(*(again.ask("GET", "/v1/streams") for _ in range(100)))
        assert {answer.status for answer in answers} == {200}
        wrong = Customer(server.url, customer.id, f"{customer.key[:-1]}{'A' if customer.key[-1] != 'A' else 'B'}")
        guesses = await asyncio.gather(*(wrong.ask("GET", "/v1/streams") for _ in range(30)))
        assert [guess.status for guess in guesses].count(401) < 20
        assert {guess.status for guess in guesses} == {401, 429}
