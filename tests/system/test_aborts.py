"""Two hundred readers that leave at once: each has its row, and nothing of them is left."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final

import pytest
from tests.reader import Reader
from tests.system.books import Row
from tests.system.customer import Customer, new_customer
from tests.system.moments import serving
from tests.system.stage import Stage
from tests.system.stores import SqliteStore
from tests.system.voices import OpenAIVoice
from tests.upstream import Step
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaks")

READERS: Final = 200
MOST: Final = 8
VOICE: Final = OpenAIVoice()
WORDS: Final = (" one", " two", " three", " four", " five", " six", " seven", " eight")


def said_to(place: int) -> tuple[str, ...]:
    """What the upstream says to a reader: nothing to every ninth."""
    return WORDS[: place % (MOST + 1)]


async def attend(customer: Customer, stage: Stage, place: int, stack: AsyncExitStack) -> Reader:
    """A reader who has all that the upstream has said so far."""
    prompt = f"Reader {place:03}."
    stage.set(prompt, [VOICE.head, *map(VOICE.say, said_to(place)), Step.STALL])
    reader = await stack.enter_async_context(Reader(customer.url))
    body = {"message": prompt, "model": "openai/m"}
    await reader.ask("POST", "/v1/chat/stream", body, headers=customer.headers)
    await stage.asked(prompt)
    await until(lambda: reader.answer.text == "".join(said_to(place)))
    return reader


def open_files(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def assert_charged(rows: list[Row], readers: list[Reader]) -> None:
    """One row for each reader, with the tokens that were sent to that one."""
    assert len(rows) == READERS
    assert {(row["status"], row["reason"]) for row in rows} == {("aborted", "cancelled")}
    by_id = {row["id"]: row for row in rows}
    for place, reader in enumerate(readers):
        if sent := len(said_to(place)):
            row = by_id.pop(reader.answer.headers["x-tailrace-stream"])
            assert (row["output_tokens"], row["delivered_tokens"], row["source"]) == (sent, sent, "counted")
    # Who was told nothing does not know the row's name either.
    silent = Counter((row["output_tokens"], row["delivered_tokens"], row["source"]) for row in by_id.values())
    assert silent == {(0, 0, "estimated"): sum(not said_to(place) for place in range(READERS))}


async def test_two_hundred_leave_at_once(sqlite_store: SqliteStore, stage: Stage) -> None:
    """All rows are aborted with the tokens that each was sent, the upstream's connections are closed, no descriptor is
    left, and the next request is answered."""
    async with serving(sqlite_store, stage) as server:
        customer = await new_customer(server.url)
        await customer.ask("POST", "/v1/chat", {"message": "Hi", "model": "simulated/n1-d0"})
        (first,) = await customer.settled()
        before = open_files(server.pid)
        async with AsyncExitStack() as stack:
            attending = (attend(customer, stage, place, stack) for place in range(READERS))
            readers = await asyncio.gather(*attending)
            assert open_files(server.pid) > 2 * READERS  # a reader's and its upstream's each
            for reader in readers:
                reader.leave()
            await stage.upstream.closed_by(READERS)
            assert all(over.by_peer for over in stage.upstream.closed)
            rows = await customer.settled(READERS + 1)
        assert_charged([row for row in rows if row["id"] != first["id"]], readers)
        await until(lambda: open_files(server.pid) <= before)
        answer = await customer.ask("POST", "/v1/chat", {"message": "Hi", "model": "simulated/n1-d0"})
        assert answer.status == 200
        assert server.logs() == []
