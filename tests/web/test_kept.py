"""Streams that memory has no longer: read from where they are kept, by whoever may, as long as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.dialects.reading import READERS
from tests.gateway import STREAM, Gateway, gateway, refusal
from tests.reader import Answer, Reader
from tests.waiting import until

from tailrace import Settings
from tailrace.dialects import DIALECTS
from tailrace.errors import StoreError
from tailrace.events import ReasoningDelta
from tailrace.streamlog import LogStore, RingLog

pytestmark = pytest.mark.usefixtures("no_leaks")

SSE = {"accept": "text/event-stream"}
NUMBERED = [name for name, dialect in DIALECTS.items() if dialect.has_ids]


async def stream(house: Gateway, **options: Any) -> Answer:
    """A stream that has ended, is settled, and has left memory."""
    answer = await house.say("one ", "two ", "three", usage=None, **options)
    await house.settled(len(await house.rows()))
    house.forget_logs()
    assert len(house.tailrace.generations.ring) == 0
    return answer


def id_of(answer: Answer) -> str:
    """The stream that an answer was."""
    return answer.headers["x-tailrace-stream"]


async def read(house: Gateway, stream_id: str, query: str = "", **headers: str) -> Answer:
    """Read a stream by its own address."""
    return await house.ask("GET", f"/v1/streams/{stream_id}{query}", headers={**SSE, **headers})


# What is kept is as it was


@pytest.mark.parametrize("form", NUMBERED)
async def test_any_format_from_any_entry(form: str) -> None:
    """A kept stream is read in any format from any entry, with exactly what memory would have said."""
    async with gateway() as house:
        stream_id = id_of(await house.say(ReasoningDelta(text="hm"), "one ", "two ", "three"))  # type: ignore[arg-type]
        await house.settled()
        tail = house.tailrace.generations.ring.get(stream_id)
        assert tail is not None
        for after in range(tail.tail):
            from_memory = await read(house, stream_id, f"?format={form}&after={after}")
            house.forget_logs()
            from_store = await read(house, stream_id, f"?format={form}&after={after}")
            assert from_store.body == from_memory.body
            assert (from_store.status, from_store.headers["content-type"]) == (
                200,
                from_memory.headers["content-type"],
            )
        frames = READERS[form].parse((await read(house, stream_id, f"?format={form}")).body)
        assert READERS[form].whole_text(frames) == "one two three"


async def test_the_route_that_made_it() -> None:
    """A generating request with a cursor of a kept stream resumes it; with the last one, or another's, it is 204."""
    async with gateway() as house:
        original = await stream(house)
        ids = [event.id for event in original.events]
        for method, target in (("POST", STREAM), ("GET", "/v1/chat?message=Hi")):
            body = {"message": "Hi"} if method == "POST" else None
            rest = await house.ask(method, target, body, headers={"last-event-id": ids[0]})
            assert (rest.text, rest.events[-1].id) == ("two three", ids[-1])
            done = await house.ask(method, target, body, headers={"last-event-id": ids[-1]})
            assert (done.status, done.body) == (204, b"")
        assert len(house.tap.runs) == 1


async def test_a_cursor_of_another_format() -> None:
    """A place within an entry is its format's own, of a kept stream too."""
    async with gateway() as house:
        original = await stream(house)
        within = original.events[-2].id
        assert within.count(".") == 2
        assert refusal(await read(house, id_of(original), "?format=token", **{"last-event-id": within})) == (
            400,
            "bad_cursor",
        )
        rest = await read(house, id_of(original), **{"last-event-id": within})
        assert [event.data for event in rest.events] == ["[DONE]"]


async def test_the_state_and_the_cancel() -> None:
    """The state of a kept stream is what it was, and a cancel changes nothing."""
    async with gateway() as house:
        stream_id = id_of(await house.say("one ", "two"))
        await house.settled()
        before = (await house.ask("GET", f"/v1/streams/{stream_id}")).json()
        house.forget_logs()
        assert (await house.ask("GET", f"/v1/streams/{stream_id}")).json() == before
        house.forget_logs()
        cancelled = (await house.ask("POST", f"/v1/streams/{stream_id}/cancel")).json()
        assert cancelled == {name: value for name, value in before.items() if name != "text"}


async def test_many_come_back_at_once() -> None:
    """Fifty readers of one kept stream read it from the store once, and all get all of it."""
    async with gateway() as house:
        stream_id = id_of(await stream(house))
        answers = await asyncio.gather(*(read(house, stream_id) for _ in range(50)))
        assert {answer.text for answer in answers} == {"one two three"}
        assert len(house.tailrace.generations.ring) == 1


async def test_it_leaves_memory_again() -> None:
    """What was found for a reader lies in memory for a minute after it, as if it had just ended."""
    async with gateway() as house:
        stream_id = id_of(await stream(house))
        await read(house, stream_id)
        assert len(house.tailrace.generations.ring) == 1
        house.forget_logs()
        assert len(house.tailrace.generations.ring) == 0
        assert (await read(house, stream_id)).text == "one two three"


# Whose it is


async def test_nobody_elses() -> None:
    """To another key a kept stream is 404, also its cancel; its cursor is 204 on a generating route, and generates
    nothing. An admin reads it."""
    async with gateway() as house:
        ann, bob, admin = await house.key(), await house.key(), await house.key(admin=True)
        original = await stream(house, key=ann)
        stream_id, cursor = id_of(original), {"last-event-id": original.events[0].id}
        for method, target in (("GET", f"/v1/streams/{stream_id}"), ("POST", f"/v1/streams/{stream_id}/cancel")):
            refused = await house.ask(method, target, headers={**bob, **SSE})
            assert refusal(refused) == (404, "stream_not_found")
            house.forget_logs()
        assert (await house.ask("POST", STREAM, {"message": "Hi"}, headers={**bob, **cursor})).status == 204
        assert (await house.ask("GET", "/v1/streams", headers=bob)).json()["data"] == []
        house.forget_logs()
        assert (await read(house, stream_id, **ann)).text == "one two three"
        house.forget_logs()
        assert (await read(house, stream_id, **admin)).text == "one two three"
        assert len(house.tap.runs) == 1


async def test_a_token_for_a_session() -> None:
    """A browser token that is bound to a session reads that session's kept streams, and its key's others not."""
    async with gateway() as house:
        key = await house.key()
        token = await house.token(key, session_id="s")
        mine = id_of(await stream(house, key=key, session_id="s"))
        other = id_of(await stream(house, key=key))
        assert (await read(house, mine, **token)).text == "one two three"
        assert refusal(await read(house, other, **token)) == (404, "stream_not_found")
        listed = (await house.ask("GET", "/v1/streams", headers=token)).json()["data"]
        assert [entry["id"] for entry in listed] == [mine]


async def test_a_revoked_key() -> None:
    """A revoked key reads nothing that is kept, not even its own."""
    async with gateway() as house:
        admin, key = await house.key(admin=True), await house.key()
        original = await stream(house, key=key)
        revoked = await house.ask("DELETE", f"/v1/keys/{house.key_ids[key['x-api-key']]}", headers=admin)
        assert revoked.status in (200, 204)
        for headers in ({}, {"last-event-id": original.events[0].id}):
            assert (await read(house, id_of(original), **key, **headers)).status == 401


# Kept no longer


async def test_gone() -> None:
    """A stream that was the caller's and is kept no longer is 410; one that never was, or was another's, 404. On a
    generating route its cursor is 204, so that an EventSource stops."""
    async with gateway(stream={"keep_s": 0.0}) as house:
        ann, bob = await house.key(), await house.key()
        original = await stream(house, key=ann)
        stream_id = id_of(original)
        for method, target in (("GET", f"/v1/streams/{stream_id}"), ("POST", f"/v1/streams/{stream_id}/cancel")):
            assert refusal(await house.ask(method, target, headers=ann)) == (410, "stream_gone")
            assert refusal(await house.ask(method, target, headers=bob)) == (404, "stream_not_found")
        assert refusal(await read(house, stream_id, **ann, **{"last-event-id": original.events[0].id})) == (
            410,
            "stream_gone",
        )
        assert refusal(await read(house, f"gen_{'0' * 24}", **ann)) == (404, "stream_not_found")
        cursor = {"last-event-id": original.events[0].id}
        assert (await house.ask("GET", "/v1/chat?message=Hi", headers={**ann, **cursor})).status == 204


@pytest.mark.parametrize("keep_s", [0.0, 3600.0])
async def test_where_it_is_kept(keep_s: float) -> None:
    """Streams lie beside the database, in a file of their own; with `keep = "0s"` there is none."""
    async with gateway(stream={"keep_s": keep_s}) as house:
        await stream(house)
        assert house.path.with_name("tailrace.db.streams").exists() == bool(keep_s)


# The list


async def test_the_list_in_pages() -> None:
    """The list holds what is kept and what runs, newest first, each once, a page at a time."""
    async with gateway() as house, Reader(house.url) as reader:
        ids = [id_of(await stream(house)) for _ in range(5)]
        await read(house, ids[2])
        run = await house.begin(reader)
        run.say("so far")
        ids.append(id_of(await reader.head()))
        found: list[str] = []
        query = "?limit=2"
        while True:
            page = (await house.ask("GET", f"/v1/streams{query}")).json()
            found += [entry["id"] for entry in page["data"]]
            if page["next_cursor"] is None:
                break
            query = f"?limit=2&cursor={page['next_cursor']}"
        states = (await house.ask("GET", "/v1/streams")).json()["data"]
        run.finish()
        await reader.whole()
    assert found == ids[::-1]
    assert [state["status"] for state in states] == ["running", *["finished"] * 5]
    assert {state["model"] for state in states[1:]} == {"tap"}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "invalid_field"),
        ("limit=501", 422, "invalid_field"),
        ("limit=x", 422, "invalid_field"),
        ("cursor=x", 400, "invalid_cursor"),
        ("cursor=", 400, "invalid_cursor"),
    ],
)
async def test_pages_that_are_none(query: str, status: int, code: str) -> None:
    """A limit or a cursor that can't be is refused."""
    async with gateway() as house:
        assert refusal(await house.ask("GET", f"/v1/streams?{query}")) == (status, code)


# A store that does not answer


class DeafStore(LogStore):
    """A store that can't be read for now."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    def keep(self, log: RingLog) -> None:
        self._store.keep(log)

    async def flush(self) -> None:
        await self._store.flush()

    async def find(self, log_id: str) -> RingLog | None:
        raise StoreError("deaf")

    async def list(self, owner: str | None, **wanted: Any) -> Any:
        raise StoreError("deaf")


@asynccontextmanager
async def deaf(house: Gateway) -> AsyncIterator[None]:
    """The house's store does not answer meanwhile."""
    hearing = house.tailrace.generations.store
    house.tailrace.generations.store = DeafStore(hearing)
    try:
        yield
    finally:
        house.tailrace.generations.store = hearing


async def test_try_again() -> None:
    """While the store does not answer, a resume is an empty stream that says when to come back, since a 503 would stop
    an EventSource for good; who asks for a state gets the 503. What is in memory is read as ever."""
    async with gateway() as house:
        original = await stream(house)
        stream_id, cursor = id_of(original), {"last-event-id": original.events[0].id}
        async with deaf(house):
            for answer in (
                await read(house, stream_id, **cursor),
                await house.ask("GET", "/v1/chat?message=Hi", headers=cursor),
                await house.ask("POST", STREAM, {"message": "Hi"}, headers=cursor),
            ):
                assert (answer.status, answer.body) == (200, b"retry: 2000\n\n")
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert "x-request-id" in answer.headers
            assert refusal(await house.ask("GET", f"/v1/streams/{stream_id}")) == (503, "store_unavailable")
            assert refusal(await house.ask("GET", "/v1/streams")) == (503, "store_unavailable")
            again = await house.say("Hello")
            assert (await read(house, id_of(again))).text == "Hello"
        assert (await read(house, stream_id, **cursor)).text == "two three"
        assert len(house.tap.runs) == 2


# What is counted


async def test_writes_are_counted() -> None:
    """Each write is counted, by how it came out."""
    async with gateway() as house:
        await stream(house)
        await until(lambda: b'{outcome="written",store="sqlite"}' in metrics_of(house))
        assert b'outcome="failed",store=' not in metrics_of(house)


def metrics_of(house: Gateway) -> bytes:
    """The metrics as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(house.tailrace.metrics)
    return generate_latest(registry)


def test_the_default() -> None:
    """Streams are kept for an hour, and take a gibibyte at most."""
    assert (Settings().stream.keep_s, Settings().stream.keep_size) == (3600, 2**30)
