"""Several workers serve the same streams: read, joined, listed and stopped from any of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.reader import Reader
from tests.system.fleet import SSE, STREAM, fleet, stream_id
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_a_stream_is_read_from_another_worker(tmp_path: Path) -> None:
    """Who comes to another worker gets all from the start, then each token as it comes, then the end."""
    async with fleet(tmp_path) as running:
        here, there = running.workers
        async with Reader(here.url) as first, Reader(there.url) as second:
            run = await here.begin(first)
            run.say("one ", "two ")
            name = await stream_id(first)
            await second.ask("GET", f"/v1/streams/{name}", headers=SSE)
            await second.until(b"two")
            run.say("three")
            await second.until(b"three")
            run.finish()
            assert (await second.whole()).text == (await first.whole()).text == "one two three"
            assert second.answer.events[-1] == first.answer.events[-1]


async def test_a_cursor_of_one_worker_goes_on_at_another(tmp_path: Path) -> None:
    """A reader that comes back elsewhere gets exactly the rest, while the answer runs and when it has ended."""
    async with fleet(tmp_path) as running:
        here, there = running.workers
        async with Reader(here.url) as first:
            run = await here.begin(first, on_disconnect="continue")
            run.say("one ", "two ")
            await first.until(b"two")
            cursor = first.answer.events[-1].id
            first.leave()
        async with Reader(there.url) as second:
            await second.ask("POST", STREAM, {"message": "x"}, headers={"last-event-id": cursor})
            run.say("three ")
            await second.until(b"three")
            run.finish()
            assert (await second.whole()).text == "three "
        again = await there.ask("POST", STREAM, {"message": "x"}, **{"last-event-id": cursor})
        assert again.text == "three "
        assert (len(here.tap.runs), len(there.tap.runs)) == (1, 0)


async def test_a_cancel_from_another_worker(tmp_path: Path) -> None:
    """`POST …/cancel` anywhere closes the upstream, tells each reader so, and gives the same answer each time."""
    async with fleet(tmp_path) as running:
        here, there = running.workers
        async with Reader(here.url) as first:
            run = await here.begin(first)
            run.say("one ")
            name = await stream_id(first)
            states = [(await there.ask("POST", f"/v1/streams/{name}/cancel")).json() for _ in range(2)]
            assert run.cancelled
            assert b"cancelled" in (await first.whole()).body
            assert states[0] == states[1]
            assert states[0]["status"] == "aborted"
        (row,) = await running.settled()
        assert row.status == "aborted"


async def test_the_last_reader_anywhere(tmp_path: Path) -> None:
    """The upstream is stopped when the last reader has left, on whichever worker, and not before; how far the furthest
    reader got is in the row."""
    async with fleet(tmp_path) as running:
        here, there = running.workers
        async with Reader(here.url) as first, Reader(there.url) as second:
            run = await here.begin(first)
            run.say("one ")
            name = await stream_id(first)
            await second.ask("GET", f"/v1/streams/{name}", headers=SSE)
            await second.until(b"one")
            log = here.tailrace.generations.ring.get(name)
            assert log is not None
            await until(lambda: log.viewers == 2)
            first.leave()
            await until(lambda: log.viewers == 1)
            run.say("two ", "three")
            await second.until(b"three")
            assert not run.cancelled
            await until(lambda: log.delivered == log.tail)
            second.leave()
            await until(lambda: run.cancelled)
        (row,) = await running.settled()
        assert (row.status, row.delivered_tokens) == ("aborted", row.output_tokens)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The setting that names the ledger's database; the one in the data folder needs none."""
    if request.param == "sqlite":
        return {}
    url = request.getfixturevalue("postgres_store").settings.database_url
    return {"database_url": url}


async def test_a_hundred_clicks_on_two_workers(tmp_path: Path, database: dict[str, Any]) -> None:
    """A hundred equal requests with one idempotency key at once, over two workers: one reaches the upstream, and all
    get its answer."""
    async with fleet(tmp_path, **database) as running:
        key = {"idempotency-key": "click"}
        body = {"message": "Hi", "stream": True}
        asking = [
            asyncio.create_task(running.workers[number % 2].ask("POST", STREAM, body, **key)) for number in range(100)
        ]
        await until(lambda: any(worker.tap.runs for worker in running.workers))
        (run,) = (run for worker in running.workers for run in worker.tap.runs)
        for number in range(20):
            run.say(f"{number} ")
            await asyncio.sleep(0)
        run.finish()
        answers = await asyncio.gather(*asking)
        assert {answer.status for answer in answers} == {200}
        assert {answer.text for answer in answers} == {"".join(f"{number} " for number in range(20))}
        assert sum(len(worker.tap.runs) for worker in running.workers) == 1
        assert len(await running.settled()) == 1


async def test_a_list_knows_of_all_workers(tmp_path: Path) -> None:
    """`GET /v1/streams` and a stream's state tell the same on each worker, of what runs and of what has ended."""
    async with fleet(tmp_path) as running:
        here, there = running.workers
        async with Reader(here.url) as first, Reader(there.url) as second:
            runs = [await here.begin(first), await there.begin(second)]
            for run in runs:
                run.start()
                run.say("one ")
            await second.until(b"one")
            runs[0].finish()
            await first.whole()
            for worker in running.workers:
                await worker.store.flush()
            told = [(await worker.ask("GET", "/v1/streams")).json()["data"] for worker in running.workers]
            assert told[0] == told[1]
            assert [stream["status"] for stream in told[0]] == ["running", "finished"]
            name = await stream_id(second)
            states = [(await worker.ask("GET", f"/v1/streams/{name}")).json() for worker in running.workers]
            assert states[0] == states[1]


async def test_a_busy_session_elsewhere(tmp_path: Path) -> None:
    """A session whose answer runs on another worker is 409 and names it; stopped from here, the session is free."""
    async with fleet(tmp_path) as running:
        here, there = running.workers
        async with Reader(here.url) as first:
            run = await here.begin(first, session_id="s")
            run.say("one ")
            name = await stream_id(first)
            busy = await there.ask("POST", "/v1/chat", {"message": "Hi", "session_id": "s"})
            assert (busy.status, busy.headers["x-tailrace-stream"]) == (409, name)
            await there.ask("POST", f"/v1/streams/{name}/cancel")
            assert run.cancelled
            await running.settled()
            async with Reader(there.url) as second:
                again = await there.begin(second, session_id="s")
                again.say("two")
                again.finish()
                assert (await second.whole()).text == "two"


async def test_chats_and_responses_of_another_worker(tmp_path: Path) -> None:
    """An AI SDK chat is resumed and stopped, an OpenAI response read and cancelled, on a worker that makes neither."""
    async with fleet(tmp_path) as running:
        here, there = running.workers
        message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
        async with Reader(here.url) as chat, Reader(here.url) as response, Reader(there.url) as resumed:
            await chat.ask("POST", "/ai-sdk/chat", {"id": "c", "messages": [message], "trigger": "submit-message"})
            run = await here.tap.asked()
            run.say("one ")
            await chat.until(b"one")
            await here.store.flush()
            await resumed.ask("GET", "/ai-sdk/chat/c/stream")
            await resumed.until(b"one")
            await there.ask("POST", "/ai-sdk/chat/c/cancel")
            assert run.cancelled
            await resumed.whole()
            await response.ask("POST", "/v1/responses", {"model": "tap", "input": "Hi", "stream": True})
            run = await here.tap.asked(2)
            run.say("two")
            await response.until(b"two")
            name = json.loads(response.answer.events[0].data)["response"]["id"]
            await here.store.flush()
            assert (await there.ask("GET", f"/v1/responses/{name}")).json()["status"] == "in_progress"
            assert (await there.ask("POST", f"/v1/responses/{name}/cancel")).json()["status"] == "cancelled"
            assert run.cancelled


async def test_what_was_never_there(tmp_path: Path) -> None:
    """A cursor that is ahead of everything is told to come again while the stream runs, and refused when it has ended;
    a stream that nobody had is 404."""
    async with fleet(tmp_path) as running:
        here, there = running.workers
        async with Reader(here.url) as first:
            run = await here.begin(first)
            run.say("one ")
            name = await stream_id(first)
            early = await there.ask("GET", f"/v1/streams/{name}?after=99", **SSE)
            assert (early.status, early.body[:6]) == (200, b"retry:")
            run.finish()
            await first.whole()
        await here.store.flush()
        late = await there.ask("GET", f"/v1/streams/{name}?after=99", **SSE)
        assert (late.status, late.json()["code"]) == (400, "bad_cursor")
        assert (await there.ask("GET", f"/v1/streams/gen_{'0' * 24}", **SSE)).status == 404


async def test_an_event_source_during_an_outage(tmp_path: Path) -> None:
    """An EventSource whose answer another worker makes, and can't be read now, is told to come again: never 503."""
    async with fleet(tmp_path) as running:
        here, there = running.workers
        target = "/v1/chat?message=Hi&model=tap&idempotency_key=k"
        async with Reader(here.url) as first:
            await first.ask("GET", target)
            run = await here.tap.asked()
            run.say("one ")
            await first.until(b"one")
            await here.store.flush()
            await running.redis.stop()
            joined = await there.ask("GET", target)
            assert (joined.status, joined.body[:6]) == (200, b"retry:")
            await running.redis.start()
            run.finish()
            await first.whole()
