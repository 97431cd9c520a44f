"""Streams that are there already: read again from a cursor, looked at, listed, stopped."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.reader import Answer, Reader, ask
from tests.server import serving
from tests.upstream import ScriptedUpstream, answer
from tests.web.tapped import House, house

from tailrace import Settings, create_app
from tailrace.errors import UpstreamError
from tailrace.events import ReasoningDelta, ToolCallDelta, ToolCallStarted
from tailrace.settings import ProviderSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

SSE = {"accept": "text/event-stream"}
ROUTES = {"delta": "/v1/chat/stream", "token": "/chat/stream", "meta": "/chat/stream-meta"}
QUERY = "message=Hi&model=tap"


async def stream(server: House, target: str = "/v1/chat/stream") -> Answer:
    """A whole stream of every kind of entry."""
    async with Reader(server.url) as reader:
        run = await server.begin(reader, target)
        run.start()
        run.say(ReasoningDelta(text="hm"), "one ", "two ", ToolCallStarted(call=0, id="c", name="f"))
        run.say(ToolCallDelta(call=0, arguments="{}"), "three")
        run.finish()
        return await reader.whole()


def told(answer: Answer) -> list[tuple[str, str]]:
    """What a reader knows after a stream: its text joined between the other events, without what counts the pieces."""
    found: list[tuple[str, str]] = []
    for event in answer.events:
        piece = json.loads(event.data) if event.data.startswith("{") else {"data": event.data}
        text = piece.get("delta") or piece.get("token") if not piece.get("done") else None
        if text is None or text == "":
            found.append((event.event, event.data))
        elif found and found[-1][0] == "text":
            found[-1] = ("text", found[-1][1] + text)
        else:
            found.append(("text", text))
    return found


@pytest.mark.parametrize("form", ROUTES)
async def test_every_cursor_gets_exactly_the_rest(form: str) -> None:
    """From each id of a finished stream, those within an entry too, a reader gets what followed it and nothing else:
    by the stream's own address, by the route that made it, and never by asking the upstream."""
    async with house() as server:
        original = await stream(server, ROUTES[form])
        raw = original.body.removesuffix(b"\n\n").split(b"\n\n")
        stream_id = original.headers["x-tailrace-stream"]
        for place, event in enumerate(original.events[:-1]):
            rest = Answer()
            rest.pieces = [(0.0, b"\n\n".join(raw[place + 1 :]) + b"\n\n")]
            cursor = {"last-event-id": event.id}
            by_id = await ask(server.url, "GET", f"/v1/streams/{stream_id}", headers={**SSE, **cursor})
            by_route = await ask(server.url, "POST", ROUTES[form], {"message": "x"}, headers=cursor)
            assert told(by_id) == told(by_route) == told(rest)
            assert by_id.events[-1] == original.events[-1]
            assert by_id.headers["x-tailrace-stream"] == stream_id
        assert len(server.tap.runs) == 1


@pytest.mark.parametrize(
    ("method", "target"), [("POST", "/v1/chat"), ("POST", "/v1/chat/stream"), ("GET", f"/v1/chat?{QUERY}")]
)
async def test_at_the_end_there_is_nothing(method: str, target: str) -> None:
    """A generating request with the last id, or one that nobody knows any more, is 204 and never generates."""
    async with house() as server:
        original = await stream(server)
        for cursor in (original.events[-1].id, f"gen_{'0' * 24}.3", f"gen_{'0' * 24}.3.1"):
            body = {"message": "Hi"} if method == "POST" else None
            answer = await ask(server.url, method, target, body, headers={"last-event-id": cursor})
            assert (answer.status, answer.body) == (204, b"")
        assert len(server.tap.runs) == 1


async def test_a_running_stream_is_joined_live() -> None:
    """A resumed reader of a stream that still runs gets the rest and then what comes, at once with 200."""
    async with house() as server, Reader(server.url) as first, Reader(server.url) as second:
        run = await server.begin(first, on_disconnect="continue")
        run.say("one ", "two ")
        seen = await first.until(b"two")
        first.leave()
        cursor = {"last-event-id": seen.events[0].id}
        await second.ask("POST", "/v1/chat/stream", {"message": "Hi"}, headers=cursor)
        await second.until(b"two")
        run.say("three")
        await second.until(b"three")
        run.finish()
        answer = await second.whole()
    assert answer.text == "two three"
    assert answer.objects[0]["chunk_index"] == 2


async def test_an_event_source_comes_back_before_the_first_token() -> None:
    """The GET's first frame is an id alone, sent at once; with it the lost connection resumes the same answer."""
    async with house() as server, Reader(server.url) as first, Reader(server.url) as second:
        await first.ask("GET", f"/v1/chat?{QUERY}")
        run = await server.tap.asked()
        opening = (await first.until(b"\n\n")).body
        assert opening == f"id: {server.logs[0].id}.0\n\n".encode()
        first.leave()
        cursor = {"last-event-id": opening.decode().strip().removeprefix("id: ")}
        await second.ask("GET", f"/v1/chat?{QUERY}", headers=cursor)
        await second.head()
        run.say("Hello")
        run.finish()
        answer = await second.whole()
        assert len(server.tap.runs) == 1
    assert answer.text == "Hello"


async def test_an_event_source_is_told_of_a_refusal_once() -> None:
    """A refusal reaches an EventSource as 200 and an error event with an id; its reconnect gets 204 and asks nobody."""
    async with ScriptedUpstream([answer(b'{"error":{"message":"no"}}', "400 Bad Request")]) as upstream:
        settings = Settings(providers={"up": ProviderSettings(kind="openai", base_url=upstream.url)})
        async with serving(create_app(settings)) as url:
            target = "/v1/chat?message=Hi&model=up/m"
            refused = await ask(url, "GET", target)
            again = await ask(url, "GET", target, headers={"last-event-id": refused.events[-1].id})
    assert refused.status == 200
    assert [(event.event, json.loads(event.data)["code"]) for event in refused.events] == [
        ("error", "upstream_refused")
    ]
    assert refused.events[-1].id.startswith(refused.headers["x-tailrace-stream"])
    assert again.status == 204
    assert len(upstream.requests) == 1


CURSORS: list[tuple[str, str, dict[str, str]]] = [
    ("beyond the end", "?after=99", {}),
    ("beyond the end, as an id", "", {"last-event-id": "{id}.99"}),
    ("within an entry beyond the end", "", {"last-event-id": "{id}.99.1"}),
    ("no number", "?after=x", {}),
    ("negative", "?after=-1", {}),
    ("digits of elsewhere", "?after=%D9%A3", {}),
    ("a huge number", "?after=" + "9" * 50, {}),
    ("no cursor", "", {"last-event-id": "x"}),
    ("of another stream", "", {"last-event-id": f"gen_{'0' * 24}.1"}),
    ("within an entry of another format", "?format=token", {"last-event-id": "{id}.1.1"}),
]


@pytest.mark.parametrize(("query", "headers"), [case[1:] for case in CURSORS], ids=[case[0] for case in CURSORS])
async def test_a_cursor_that_is_none_is_refused(query: str, headers: dict[str, str]) -> None:
    """400 `bad_cursor`, as problem JSON: what would be skipped or said twice is not guessed."""
    async with house() as server:
        stream_id = (await stream(server)).headers["x-tailrace-stream"]
        filled = {name: value.format(id=stream_id) for name, value in headers.items()}
        refused = await ask(server.url, "GET", f"/v1/streams/{stream_id}{query}", headers={**SSE, **filled})
    assert (refused.status, refused.json()["code"]) == (400, "bad_cursor")


async def test_another_format_of_the_same_stream() -> None:
    """`?format=` reads a stream in any format, from any entry; an unknown one is refused with those there are."""
    async with house() as server:
        target = f"/v1/streams/{(await stream(server)).headers['x-tailrace-stream']}"
        token = await ask(server.url, "GET", f"{target}?format=token&after=2", headers=SSE)
        meta = await ask(server.url, "GET", f"{target}?format=meta", headers=SSE)
        raw = await ask(server.url, "GET", f"{target}?format=raw", headers=SSE)
        wrong = await ask(server.url, "GET", f"{target}?format=xml", headers=SSE)
    assert token.text == meta.text == "one two three"
    assert "".join(event.data for event in raw.events if event.event == "token") == "one two three"
    assert (wrong.status, wrong.json()["code"]) == (400, "unknown_format")
    assert "delta, token, raw, meta" in wrong.json()["detail"]


async def test_the_state_of_a_stream() -> None:
    """Its state tells where it stands while it runs, when it is whole, when it failed and when it was stopped."""
    async with house() as server, Reader(server.url) as reader:
        run = await server.begin(reader)
        run.start()
        run.say("one ", "two")
        running = await state_of(server)
        run.finish()
        await reader.whole()
        finished = await state_of(server)
        run = await server.begin(reader)
        run.say("par")
        run.fail(UpstreamError("upstream_cut", "gone"))
        await reader.whole()
        failed = await state_of(server)
    assert (running["status"], running["text"], running["entries"], running["usage"]) == ("running", "one two", 3, None)
    assert (running["model"], running["format"]) == ("tap-1", "delta")
    assert {"finish_reason", "error"}.isdisjoint(running)
    assert (finished["status"], finished["finish_reason"], finished["entries"]) == ("finished", "stop", 5)
    assert finished["usage"]["output_tokens"] > 0
    assert (failed["status"], failed["text"]) == ("failed", "par")
    assert failed["error"] == {"code": "upstream_cut", "message": "gone"}


async def state_of(server: House) -> Any:
    """The latest stream's state."""
    return (await ask(server.url, "GET", f"/v1/streams/{server.logs[-1].id}")).json()


async def test_the_list_has_the_newest_first() -> None:
    """`GET /v1/streams` lists states without text, the newest first."""
    async with house() as server:
        ids = [(await stream(server)).headers["x-tailrace-stream"] for _ in range(3)]
        listed = await ask(server.url, "GET", "/v1/streams")
    assert [entry["id"] for entry in listed.json()["data"]] == ids[::-1]
    assert all("text" not in entry for entry in listed.json()["data"])
    assert listed.headers["cache-control"] == "no-store"


async def test_a_cancel_stops_and_says_the_same_each_time() -> None:
    """A cancel from elsewhere stops the upstream, the reader is told, and each further cancel answers the same."""
    async with house() as server, Reader(server.url) as reader:
        run = await server.begin(reader)
        run.say("Hi")
        await reader.until(b"Hi")
        target = f"/v1/streams/{server.logs[-1].id}/cancel"
        answers = await asyncio.gather(*(ask(server.url, "POST", target) for _ in range(3)))
        answers.append(await ask(server.url, "POST", target))
        told = await reader.whole()
    assert run.cancelled
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert (answers[0].json()["status"], answers[0].json()["error"]["code"]) == ("aborted", "cancelled")
    assert told.events[-1].event == "error"
    assert b"[DONE]" not in told.body


async def test_a_cancel_of_what_has_ended_changes_nothing() -> None:
    """A finished stream stays finished; of one that nobody knows, 404."""
    async with house() as server:
        stream_id = (await stream(server)).headers["x-tailrace-stream"]
        late = await ask(server.url, "POST", f"/v1/streams/{stream_id}/cancel")
        unknown = await ask(server.url, "POST", f"/v1/streams/gen_{'0' * 24}/cancel")
    assert (late.json()["status"], late.json()["finish_reason"]) == ("finished", "stop")
    assert (unknown.status, unknown.json()["code"]) == (404, "stream_not_found")


async def test_a_cancel_before_the_status_is_a_status() -> None:
    """Who still waits for a status when the stream is cancelled gets 409."""
    async with house() as server, Reader(server.url) as reader:
        await server.begin(reader)
        await ask(server.url, "POST", f"/v1/streams/{server.logs[-1].id}/cancel")
        answer = await reader.whole()
    assert (answer.status, answer.json()["code"]) == (409, "cancelled")
