"""The library face as a whole: tailrace inside another application, under a prefix or from Python."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from tests.reader import Reader, ask
from tests.server import serving
from tests.tap import Tap
from tests.upstream import ScriptedUpstream, answer
from tests.waiting import until

from tailrace import Failed, RequestError, Settings, Started, Tailrace
from tailrace.settings import ProviderSettings, StreamSettings

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_under_a_prefix_with_an_own_provider() -> None:
    """The router works under a prefix with a provider of one's own, which the lifespan opens and closes; the rest of
    the application is untouched, and the pages are not there unless asked for."""
    tap = Tap(name="mine")
    tailrace = Tailrace(Settings(default_model="mine"), providers={"mine": tap}, open=True)
    app = FastAPI(lifespan=tailrace.lifespan)
    app.include_router(tailrace.router, prefix="/ai")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"whose": "mine"}

    async with serving(app, own=False) as url, Reader(url) as reader:
        assert tap.is_open
        await reader.ask("POST", "/ai/v1/chat/stream", {"message": "Hi"})
        run = await tap.asked()
        run.say("Hello")
        run.finish()
        reply = await reader.whole()
        assert reply.text == "Hello"
        state = await ask(url, "GET", f"/ai/v1/streams/{reply.headers['x-tailrace-stream']}")
        assert state.json()["text"] == "Hello"
        assert (await ask(url, "GET", "/health")).json() == {"whose": "mine"}
        assert [(await ask(url, "GET", path)).status for path in ("/v1/chat", "/metrics", "/ai/metrics")] == [404] * 3
        refused = await ask(url, "POST", "/ai/v1/chat", {"mesage": "Hi"})
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
    assert not tap.is_open


async def test_dependencies_of_the_application_are_honoured() -> None:
    """What `include_router(dependencies=…)` demands is demanded of every route, before anything is generated."""

    async def paid(request: Request) -> None:
        if "x-paid" not in request.headers:
            raise HTTPException(402)

    tap = Tap()
    tailrace = Tailrace(providers={"tap": tap}, open=True)
    app = FastAPI(lifespan=tailrace.lifespan)
    app.include_router(tailrace.router, dependencies=[Depends(paid)])
    body = {"message": "Hi", "model": "simulated/n1-d0"}
    async with serving(app, own=False) as url:
        assert (await ask(url, "POST", "/v1/chat", body)).status == 402
        assert (await ask(url, "POST", "/v1/chat", body, headers={"x-paid": "yes"})).status == 200
    assert tap.runs == []


async def test_events_for_python() -> None:
    """`stream` yields an answer's events up to and with the end; refusals of the request are raised."""
    tailrace = Tailrace()
    async with tailrace.lifespan():
        events = [event async for event in tailrace.stream(message="Hi", model="simulated/n3-d0", max_tokens=2)]
        assert [type(event).__name__ for event in events] == [
            "Started",
            "TextDelta",
            "TextDelta",
            "UsageReported",
            "Finished",
        ]
        failed = [event async for event in tailrace.stream(message="Hi", model="simulated/e429")][-1]
        assert isinstance(failed, Failed)
        assert failed.code == "upstream_refused"
        with pytest.raises(RequestError, match="there is no model 'nix'"):
            await anext(tailrace.stream(message="Hi", model="nix"))


async def test_leaving_the_loop_stops_the_upstream() -> None:
    """Closing the iterator of `stream` cancels the upstream at once."""
    tap = Tap()
    tailrace = Tailrace(providers={"tap": tap})
    async with tailrace.lifespan():
        async with contextlib.aclosing(tailrace.stream(message="Hi", model="tap")) as events:
            beginning = asyncio.create_task(anext(events))
            run = await tap.asked()
            run.say("Hi")
            assert isinstance(await beginning, Started)
        await until(lambda: run.cancelled)


async def test_an_answer_in_an_own_route() -> None:
    """`stream` and `stream_response` fit together: an own route streams a model's answer, failures with their code."""
    async with ScriptedUpstream([answer(b"", "500 No", connection="close")]) as upstream:
        provider = ProviderSettings(kind="openai", base_url=upstream.url)
        tailrace = Tailrace(Settings(providers={"up": provider}, stream=StreamSettings(retries=0)))
        app = FastAPI(lifespan=tailrace.lifespan)

        @app.get("/ask")
        async def ask_model(model: str) -> Response:
            return tailrace.stream_response(tailrace.stream(message="Hi", model=model))

        async with serving(app, own=False) as url:
            good = await ask(url, "GET", "/ask?model=simulated/n3-d0")
            bad = await ask(url, "GET", "/ask?model=up/m")
    assert [event.event for event in good.events] == ["token"] * 3 + ["usage", "done"]
    assert bad.objects[-1]["code"] == "upstream_error"


async def test_outside_of_its_lifespan_it_says_so() -> None:
    """Used before its lifespan, or after, it says what is missing."""
    tailrace = Tailrace()
    with pytest.raises(RuntimeError, match=r"run its lifespan, as in FastAPI\(lifespan=tailrace.lifespan\)"):
        await anext(tailrace.stream(message="Hi"))
    async with tailrace.lifespan():
        pass
    with pytest.raises(RuntimeError, match="tailrace is not open"):
        await anext(tailrace.stream(message="Hi"))


async def talk() -> AsyncIterator[str]:
    yield "Hello"


async def test_an_iterator_is_refused_while_stopping() -> None:
    """While the application drains, a route that streams an iterator answers 503 as problem JSON."""
    tailrace = Tailrace()
    app = FastAPI(lifespan=tailrace.lifespan)

    @app.get("/mine")
    async def mine() -> Response:
        return tailrace.stream_response(talk())

    async with serving(app, own=False) as url:
        await tailrace.drain(0)
        refused = await ask(url, "GET", "/mine")
    assert (refused.status, refused.json()["code"]) == (503, "draining")
    assert refused.json()["request_id"] == refused.headers["x-request-id"]


async def test_the_end_of_the_lifespan_ends_the_streams() -> None:
    """At the end of the lifespan running answers are told, and their upstreams are closed before their providers."""
    tap = Tap()
    tailrace = Tailrace(providers={"tap": tap})
    async with tailrace.lifespan():
        following = asyncio.create_task(collect(tailrace))
        run = await tap.asked()
        run.say("Hi")
    assert run.cancelled
    assert not tap.is_open
    failed = (await following)[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "draining"


async def collect(tailrace: Tailrace) -> list[Any]:
    """All events of an answer by the tap."""
    return [event async for event in tailrace.stream(message="Hi", model="tap")]
