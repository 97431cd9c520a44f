"""Anthropic's routes as they are on the wire: what they say of themselves, whose request it was, and reading on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI
from tests.dialects.reading import READERS
from tests.reader import Answer, Reader, ask
from tests.server import serving

from tailrace import Settings, Tailrace, create_app
from tailrace.settings import StreamSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

ROUTE = "/v1/messages"
BODY: dict[str, Any] = {
    "model": "simulated/n5-d1-r2-t1",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "Hi"}],
}
AS_ANTHROPIC = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def document() -> Any:
    """What `/openapi.json` says."""
    return create_app().openapi()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(create_app()) as url:
        yield url


def check(document: Any, method: str, path: str, answer: Answer) -> None:
    """Hold an answer against what the document says of it."""
    described = document["paths"][path][method]["responses"][str(answer.status)]["content"]
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in described
    if media_type.endswith("json"):
        jsonschema.Draft202012Validator(described[media_type]["schema"]).validate(answer.json())


async def test_answers_are_as_described(url: str, document: Any) -> None:
    """Whole answers, streams, counts, lists and errors are what `/openapi.json` says of them."""
    for body in (BODY, {**BODY, "stream": True}, {"messages": 5}, {**BODY, "model": "nope"}):
        check(document, "post", ROUTE, await ask(url, "POST", ROUTE, body))
    counted = await ask(url, "POST", f"{ROUTE}/count_tokens", BODY)
    check(document, "post", f"{ROUTE}/count_tokens", counted)
    check(document, "post", f"{ROUTE}/count_tokens", await ask(url, "POST", f"{ROUTE}/count_tokens", {}))
    for headers in ({}, AS_ANTHROPIC):
        check(document, "get", "/v1/models", await ask(url, "GET", "/v1/models", headers=headers))


def test_the_bodys_schema_takes_what_the_route_takes(document: Any) -> None:
    """The described body allows real bodies, with fields that only Anthropic knows, and no wrong one."""
    schema = document["paths"][ROUTE]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(schema)
    blocks = [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}, {"type": "document"}]
    for body in (
        BODY,
        {**BODY, "messages": [{"role": "user", "content": blocks}], "container": "c", "on_disconnect": 5},
        {**BODY, "tools": [{"name": "f", "input_schema": {"type": "object"}}, {"type": "bash_20250124"}]},
    ):
        validator.validate(body)
    for wrong in ({**BODY, "max_tokens": -1}, {**BODY, "messages": []}, {"messages": BODY["messages"]}):
        assert not validator.is_valid(wrong)


async def test_clients_choose_their_list_of_models(url: str) -> None:
    """The header that every client of Anthropic's sends makes the list Anthropic's."""
    lists = [(await ask(url, "GET", "/v1/models", headers=headers)).json() for headers in ({}, AS_ANTHROPIC)]
    assert [sorted(found) for found in lists] == [["data", "object"], ["data", "first_id", "has_more", "last_id"]]
    assert [model["id"] for model in lists[0]["data"]] == [model["id"] for model in lists[1]["data"]]


async def test_paths_with_queries(url: str) -> None:
    """The client's beta surface says so in the path."""
    assert (await ask(url, "POST", f"{ROUTE}?beta=true", BODY)).json()["type"] == "message"
    counted = await ask(url, "POST", f"{ROUTE}/count_tokens?beta=true", BODY)
    assert counted.json().keys() == {"input_tokens"}


@pytest.mark.parametrize("embedded", [False, True])
async def test_the_requests_id_is_where_clients_look(embedded: bool) -> None:
    """Answers, streams, counts and refusals have the request's id in Anthropic's header too; other routes have not."""
    tailrace = Tailrace(open=True)
    app = FastAPI(lifespan=tailrace.lifespan)
    app.include_router(tailrace.router)
    async with serving(app if embedded else create_app()) as url:
        for path, body in (
            (ROUTE, BODY),
            (ROUTE, {**BODY, "stream": True}),
            (ROUTE, {**BODY, "model": "simulated/e529"}),
            (ROUTE, {}),
            (f"{ROUTE}/count_tokens", BODY),
        ):
            answer = await ask(url, "POST", path, body)
            assert answer.headers["request-id"] == answer.headers["x-request-id"]
            assert answer.headers["request-id"].startswith("req_")
            if answer.status >= 400:
                assert answer.json()["request_id"] == answer.headers["request-id"]
        other = await ask(url, "POST", "/v1/chat", {"message": "Hi", "model": "simulated/n2-d0"})
        assert "request-id" not in other.headers


async def test_reading_on_after_a_lost_connection(url: str) -> None:
    """Cut after any frame, the same request with that frame's id gets exactly the rest and generates nothing."""
    asked = {**BODY, "stream": True}
    reader = READERS["anthropic"]
    uncut = await ask(url, "POST", ROUTE, asked)
    frames = reader.parse(uncut.body)
    for received, frame in enumerate(frames[:-1], 1):
        rest = await ask(url, "POST", ROUTE, asked, headers={"Last-Event-ID": frame.id})
        assert rest.headers["x-tailrace-stream"] == uncut.headers["x-tailrace-stream"]
        assert reader.joined(reader.parse(rest.body)) == reader.joined(frames[received:])
    assert (await ask(url, "POST", ROUTE, asked, headers={"Last-Event-ID": frames[-1].id})).status == 204


async def test_heartbeats() -> None:
    """A silent upstream is bridged by Anthropic's own pings."""
    settings = Settings(stream=StreamSettings(heartbeat_s=0.2, status_wait_s=0.2))
    async with serving(create_app(settings)) as url, Reader(url) as reader:
        await reader.ask("POST", ROUTE, {**BODY, "model": "simulated/n5-d1-s2", "stream": True})
        answer = await reader.until(b"event: ping")
        assert [event.event for event in answer.events if event.event == "ping"]


async def test_conversations_are_kept(url: str) -> None:
    """With tailrace's own `session_id` only new turns are sent, and calls that are kept may be answered."""
    body = {**BODY, "session_id": "s", "tools": [{"name": "look", "input_schema": {"type": "object"}}]}
    first = (await ask(url, "POST", ROUTE, body)).json()
    call = first["content"][-1]
    assert call["type"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "Dark."}
    second = await ask(url, "POST", ROUTE, {**body, "messages": [{"role": "user", "content": [result]}]})
    assert second.status == 200
    kept = (await ask(url, "GET", "/v1/sessions/s")).json()["messages"]
    assert [message["role"] for message in kept] == ["user", "assistant", "user", "assistant"]
