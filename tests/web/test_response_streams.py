"""Responses while they are made: their numbers, the background, and how they are stopped."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.gateway import gateway
from tests.reader import Reader
from tests.waiting import eventually, until
from tests.web.responding import ALL, LOOK, begin, error_of, read, respond

from tailrace.errors import UpstreamError
from tailrace.events import ReasoningDelta, Started, TextDelta
from tailrace.streamlog import tear

pytestmark = pytest.mark.usefixtures("no_leaks")


# Numbers


async def test_every_number_leads_to_the_rest() -> None:
    """`starting_after` gives exactly the events above it, of a finished response, and of a running one as they come."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await begin(house, reader, stream=True)
        run.say(ReasoningDelta(text="Hm."), "Hel", *LOOK)
        running = (await reader.until(b"function_call_arguments.delta")).objects
        response_id = running[0]["response"]["id"]
        late: list[Reader] = []
        for number in range(len(running)):
            late.append(await Reader(house.url).__aenter__())
            await late[-1].ask("GET", f"{ALL}/{response_id}?stream=true&starting_after={number}")
        ahead = await read(house, response_id, f"?stream=true&starting_after={len(running)}")
        assert error_of(ahead) == (400, "bad_cursor", "starting_after")
        await asyncio.gather(*(other.head() for other in late))
        run.say("lo")
        run.finish()
        events = (await reader.whole()).objects
        for number, other in enumerate(late):
            assert (await other.whole()).objects == events[number + 1 :]
            await other.__aexit__(None, None, None)
        for number in range(len(events)):
            answer = await read(house, response_id, f"?stream=true&starting_after={number}")
            assert (answer.status, answer.objects) == (200, events[number + 1 :])
        assert (await read(house, response_id, "?stream=true")).objects == events
        beyond = await read(house, response_id, f"?stream=true&starting_after={len(events)}")
        assert beyond.status == 400
        assert error_of(await read(house, response_id, "?stream=true&starting_after=x"))[2] == "starting_after"


async def test_what_was_lost_with_its_writer() -> None:
    """Of a response whose server died a client may have seen more than was kept: it gets the end, whatever it saw."""
    async with gateway() as house:
        ring = house.tailrace.generations.ring
        log = ring.create("gen_" + "0" * 24, dialect="openai_responses", session_id="talk")
        log.append([Started(model="m", created_at=1.0), TextDelta(text="Hel")])
        tear(log)
        kept = (await read(house, f"resp_{'0' * 24}", "?stream=true")).objects
        for number in range(len(kept) + 9):
            rest = (await read(house, f"resp_{'0' * 24}", f"?stream=true&starting_after={number}")).objects
            assert rest == kept[min(number + 1, len(kept) - 2) :]
        assert (await read(house, f"resp_{'0' * 24}")).json()["status"] == "failed"


async def test_a_cursor_resumes_too() -> None:
    """The id of any frame resumes, on POST and GET, and nothing is generated."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await begin(house, reader, stream=True)
        run.say("Hel")
        run.say("lo")
        run.finish()
        answer = await reader.whole()
        response_id = answer.objects[0]["response"]["id"]
        for place, frame in enumerate(answer.events[:-1]):
            assert frame.id
            cursor = {"last-event-id": frame.id}
            for method, target, body in (
                ("POST", ALL, {"input": "Hi"}),
                ("GET", f"{ALL}/{response_id}?stream=true", None),
            ):
                rest = await house.ask(method, target, body, headers=cursor)
                assert rest.objects == answer.objects[place + 1 :]
        other = await respond(house, "1")
        wrong = await house.ask("GET", f"{ALL}/{other['id']}?stream=true", headers=cursor)
        assert error_of(wrong)[:2] == (400, "bad_cursor")
        assert len(house.tap.runs) == 2


# The background


async def test_the_background() -> None:
    """It answers at once, goes on without a reader, and is polled to its end; its usage is counted like any other's."""
    async with gateway() as house, Reader(house.url) as reader:
        await reader.ask("POST", ALL, {"input": "Hi", "background": True})
        queued = (await reader.whole()).json()
        assert (queued["status"], queued["output"], queued["background"]) == ("queued", [], True)
        run = await house.tap.asked()
        assert (await read(house, queued["id"])).json()["status"] == "queued"
        busy = await house.ask("POST", ALL, {"input": "b", "previous_response_id": queued["id"]})
        assert error_of(busy)[:2] == (400, "response_in_progress")
        run.say("Hel")
        half = await eventually(lambda: read(house, queued["id"]), lambda answer: b'"Hel"' in answer.body)
        assert half.json()["status"] == "in_progress"
        reader.leave()
        run.say("lo")
        run.finish()
        row = await house.settled_row()
        done = (await read(house, queued["id"])).json()
        assert (done["status"], done["output"][0]["content"][0]["text"]) == ("completed", "Hello")
        assert done["created_at"] == queued["created_at"]
        assert (row.status, f"resp_{row.id.removeprefix('gen_')}") == ("finished", queued["id"])


async def test_a_stream_in_the_background() -> None:
    """Its first events come before the upstream has said anything; who leaves and comes back gets the rest."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await begin(house, reader, stream=True, background=True)
        first = (await reader.until(b"response.queued")).objects
        assert [event["type"] for event in first] == ["response.created", "response.queued"]
        reader.leave()
        await until(lambda: not any(log.viewers for log in house.tailrace.generations.ring))
        run.say("Hello")
        run.finish()
        await house.settled_row()
        rest = await read(house, first[0]["response"]["id"], "?stream=true&starting_after=1")
        assert [event["sequence_number"] for event in rest.objects] == list(range(2, 2 + len(rest.objects)))
        assert rest.objects[-1]["response"]["status"] == "completed"


async def test_a_refusal_in_the_background() -> None:
    """What an upstream refuses in the background is a failed response, streamed or polled, and no HTTP error."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await begin(house, reader, background=True, stream=True)
        run.fail(UpstreamError("upstream_refused", "no such thing", status=400))
        answer = await reader.whole()
        assert (answer.status, answer.objects[-1]["response"]["status"]) == (200, "failed")
        polled = (await read(house, answer.objects[-1]["response"]["id"])).json()
        assert polled["error"] == {"code": "invalid_prompt", "message": "no such thing"}


async def test_a_refusal_in_the_foreground() -> None:
    """What an upstream refuses at once is an HTTP error in OpenAI's shape, asked for whole or as a stream."""
    async with gateway() as house:
        for stream in (False, True):
            async with Reader(house.url) as reader:
                run = await begin(house, reader, stream=stream)
                run.fail(UpstreamError("upstream_refused", "no such thing", status=400))
                assert error_of(await reader.whole()) == (400, "upstream_refused", None)


# Stopping


async def test_cancelling() -> None:
    """A cancel stops the upstream, and says the same each time; its reader is told; a finished one stays finished."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await begin(house, reader, stream=True)
        run.say("Hel")
        response_id = (await reader.until(b"output_text.delta")).objects[0]["response"]["id"]
        cancel = f"{ALL}/{response_id}/cancel"
        first, second = await house.ask("POST", cancel), await house.ask("POST", cancel)
        assert (first.json()["status"], run.cancelled) == ("cancelled", True)
        assert first.json() == second.json() == (await read(house, response_id)).json()
        last = (await reader.whole()).objects[-2:]
        assert [event["type"] for event in last] == ["error", "response.failed"]
        assert last[1]["response"]["status"] == "cancelled"
        assert (await house.settled_row()).status == "aborted"
        whole = await respond(house, "1")
        assert (await house.ask("POST", f"{ALL}/{whole['id']}/cancel")).json() == whole


async def test_deleting_stops() -> None:
    """A running response that is deleted stops, and nothing of it is kept."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await begin(house, reader, background=True)
        response_id = (await reader.whole()).json()["id"]
        assert (await house.ask("DELETE", f"{ALL}/{response_id}")).status == 200
        assert run.cancelled
        assert (await house.settled_row()).status == "aborted"
        assert house.execute("SELECT count(*) FROM turns") == [(0,)]


async def test_deleting_takes_the_stream_along() -> None:
    """What was deleted is read nowhere: not as a response, not as a stream, not by a cursor."""
    async with gateway() as house:
        whole = await respond(house, "1")
        stream_id = "gen_" + whole["id"].removeprefix("resp_")
        assert (await house.ask("GET", f"/v1/streams/{stream_id}")).status == 200
        assert (await house.ask("DELETE", f"{ALL}/{whole['id']}")).json()["deleted"]
        assert (await house.ask("GET", f"/v1/streams/{stream_id}")).status == 410
        assert (await read(house, whole["id"], "?stream=true")).status == 404
        cursor = {"last-event-id": f"{stream_id}.0"}
        assert (await house.ask("POST", ALL, {"input": "Hi"}, headers=cursor)).status == 204
        assert (await house.tailrace.generations.store.list(None, limit=9)) == []


async def test_an_admin_deletes_no_one_else_s() -> None:
    """To an admin another key's response is there to be seen, not to be deleted: it runs on."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await begin(house, reader, key=await house.key(), background=True)
        response_id = (await reader.whole()).json()["id"]
        admin = await house.key(admin=True)
        assert (await house.ask("DELETE", f"{ALL}/{response_id}", headers=admin)).status == 404
        assert not run.over
        run.finish()
        assert (await house.settled_row()).status == "finished"


async def test_a_reader_that_leaves_stops_the_upstream() -> None:
    """In the foreground a response has the policy of every POST."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await begin(house, reader, stream=True)
        run.say("Hel")
        await reader.until(b"output_text.delta")
        reader.leave()
        await until(lambda: run.cancelled)


async def test_one_response_for_one_idempotency_key() -> None:
    """A request that is sent twice is one response, in the background too."""
    async with gateway() as house:
        for body in ({"input": "Hi"}, {"input": "Ho", "background": True}):
            election = {"idempotency-key": json.dumps(body)}
            async with Reader(house.url) as one, Reader(house.url) as other:
                await one.ask("POST", ALL, body, headers=election)
                run = await house.tap.asked(len(house.tap.runs) + 1)
                await other.ask("POST", ALL, body, headers=election)
                run.say("1")
                run.finish()
                assert (await one.whole()).json()["id"] == (await other.whole()).json()["id"]
        assert len(house.tap.runs) == 2
