"""Rights hold at every moment of a read: who reads with a key that is revoked reads no more."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.reader import Reader, ask
from tests.server import running_server
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaks")

ADMIN = {"x-api-key": "tr_admin_" + "a" * 43}
WITHIN_S = 2.0


async def test_a_reader_of_another_s_stream_is_let_go_with_its_key() -> None:
    """An admin's key that reads a customer's stream is revoked: its connection ends within two seconds, cut off rather
    than told that the answer is whole; the customer's own reading goes on."""
    async with running_server(env={"TAILRACE_ADMIN_KEY": ADMIN["x-api-key"]}) as server:
        made = [
            (await ask(server.url, "POST", "/v1/keys", {"name": name, "admin": admin}, headers=ADMIN)).json()
            for name, admin in (("customer", False), ("watcher", True))
        ]
        customer, watcher = ({"x-api-key": key["key"]} for key in made)
        async with Reader(server.url) as owner, Reader(server.url) as other:
            await owner.ask(
                "POST", "/v1/chat/stream", {"message": "Hi", "model": "simulated/n2000-d10"}, headers=customer
            )
            stream = (await owner.head()).headers["x-tailrace-stream"]
            await other.ask("GET", f"/v1/streams/{stream}", headers={**watcher, "accept": "text/event-stream"})
            await other.until(b'"delta"')
            began = time.monotonic()
            await ask(server.url, "DELETE", f"/v1/keys/{made[1]['id']}", headers=ADMIN)
            answer = await other.closed()
            assert time.monotonic() - began < WITHIN_S
            assert not answer.whole
            seen = len(owner.answer.body)
            await until(lambda: len(owner.answer.body) > seen)
            await asyncio.wait_for(ask(server.url, "POST", f"/v1/streams/{stream}/cancel", headers=customer), 10)
