"""The library face for one route of somebody's own: an iterator, streamed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, Response
from structlog.testing import capture_logs
from tests.reader import Reader, ask
from tests.server import serving
from tests.waiting import until
from tests.web.tapped import pass_through

from tailrace import (
    Failed,
    Finished,
    ReasoningDelta,
    RequestError,
    Started,
    TextDelta,
    UsageReported,
    stream_response,
)
from tailrace.providers.iterator import Source
from tailrace.settings import StreamSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

HEARTBEAT = b": keep-alive\n"


def app_of(make: Callable[[], Source], *, blocking: bool = False, middleware: bool = False, **options: Any) -> FastAPI:
    """An application with one route, `async def` or `def`, that streams what `make` makes."""
    app = FastAPI()

    async def running() -> Response:
        return stream_response(make(), **options)

    def plain() -> Response:
        return stream_response(make(), **options)

    app.get("/mine")(plain if blocking else running)
    if middleware:
        app.middleware("http")(pass_through)
    return app


async def talk() -> AsyncIterator[str]:
    yield "Hel"
    await asyncio.sleep(0)
    yield "lo"


def read_out() -> Iterator[str]:
    yield "Hel"
    yield "lo"


async def tell() -> AsyncIterator[Any]:
    yield Started(model="mine-1", created_at=1.0)
    yield ReasoningDelta(text="hm")
    yield TextDelta(text="Hel")
    yield "lo"
    yield UsageReported(input_tokens=1, output_tokens=2)
    yield Finished(reason="length")


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
@pytest.mark.parametrize("blocking", [False, True], ids=["async def", "def"])
@pytest.mark.parametrize("make", [talk, read_out, tell, lambda: ["Hel", "lo"]])
async def test_a_route_streams_an_iterator(make: Callable[[], Source], blocking: bool, middleware: bool) -> None:
    """Any iterator, in either kind of route, under a middleware too, streams as `token` with the streaming headers."""
    async with serving(app_of(make, blocking=blocking, middleware=middleware), own=False) as url:
        reply = await ask(url, "GET", "/mine")
    assert (reply.status, reply.text) == (200, "Hello")
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-request-id"].startswith("req_")
    assert reply.headers["x-tailrace-stream"].startswith("gen_")
    assert [event.event for event in reply.events][-2:] == ["usage", "done"]
    if make is tell:
        assert reply.objects[0] == {"token": "", "reasoning": "hm", "done": False}
        assert reply.objects[-2:] == [
            {"input_tokens": 1, "output_tokens": 2, "source": "reported"},
            {"token": "", "done": True, "finish_reason": "length"},
        ]


@pytest.mark.parametrize(("form", "end"), [("delta", "[DONE]"), ("raw", "stop"), ("meta", "")])
async def test_any_format(form: str, end: str) -> None:
    """`format` names the format; an unknown one is refused when the response is made."""
    async with serving(app_of(talk, format=form, model="mine"), own=False) as url:
        reply = await ask(url, "GET", "/mine")
    assert reply.events[-1].data == end or reply.objects[-1]["event"] == "done"
    with pytest.raises(RequestError, match="unknown format 'xml'; there are delta, token, raw, meta"):
        stream_response(talk(), format="xml")


async def test_what_others_put_on_a_response_is_kept() -> None:
    """Headers and cookies that a route sets are sent, and background tasks run after the stream."""
    ran: list[str] = []
    app = FastAPI()

    @app.get("/mine")
    async def mine(background: BackgroundTasks) -> Response:
        background.add_task(ran.append, "after")
        response = stream_response(talk())
        response.headers["X-Mine"] = "yes"
        response.set_cookie("seen", "1")
        return response

    async with serving(app, own=False) as url:
        reply = await ask(url, "GET", "/mine")
        await until(lambda: ran)
    assert (reply.headers["x-mine"], reply.text) == ("yes", "Hello")
    assert reply.headers["set-cookie"].startswith("seen=1")


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
async def test_a_silence_is_bridged(middleware: bool) -> None:
    """An iterator that takes its time is bridged with heartbeats from the start on; its tokens leave as they come."""
    go = asyncio.Event()

    async def slow() -> AsyncIterator[str]:
        await go.wait()
        yield "at last"
        await asyncio.Event().wait()

    app = app_of(slow, middleware=middleware, settings=StreamSettings(heartbeat_s=0.05))
    async with serving(app, own=False) as url, Reader(url) as reader:
        await reader.ask("GET", "/mine")
        assert (await reader.until(HEARTBEAT, times=2)).status == 200
        go.set()
        await reader.until(b"at last")


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
async def test_a_reader_that_leaves_stops_an_async_iterator(middleware: bool) -> None:
    """When the reader leaves, the iterator is cancelled where it waits, and its `finally` runs."""
    cleaned = asyncio.Event()

    async def endless() -> AsyncIterator[str]:
        try:
            yield "Hi"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    async with serving(app_of(endless, middleware=middleware), own=False) as url, Reader(url) as reader:
        await reader.ask("GET", "/mine")
        await reader.until(b"Hi")
        reader.leave()
        await asyncio.wait_for(cleaned.wait(), 5)


async def test_a_reader_that_leaves_stops_a_blocking_iterator() -> None:
    """When the reader leaves, a blocking iterator is closed in its thread at its next item."""
    closed, go = threading.Event(), threading.Event()

    def endless() -> Iterator[str]:
        try:
            while True:
                yield "Hi "
                go.wait(0.01)
        finally:
            closed.set()

    async with serving(app_of(endless, blocking=True), own=False) as url, Reader(url) as reader:
        await reader.ask("GET", "/mine")
        await reader.until(b"Hi")
        reader.leave()
        await until(closed.is_set)


async def test_an_iterator_may_outlive_its_reader() -> None:
    """With `on_disconnect="continue"` the iterator goes on to its end."""
    go, ended = asyncio.Event(), asyncio.Event()

    async def steady() -> AsyncIterator[str]:
        yield "Hi"
        await go.wait()
        ended.set()

    async with serving(app_of(steady, on_disconnect="continue"), own=False) as url, Reader(url) as reader:
        await reader.ask("GET", "/mine")
        await reader.until(b"Hi")
        reader.leave()
        await reader.closed()
        go.set()
        await asyncio.wait_for(ended.wait(), 5)


async def broken() -> AsyncIterator[str]:
    yield "Hi"
    raise ZeroDivisionError("canary")


def broken_in_a_thread() -> Iterator[str]:
    yield "Hi"
    raise ZeroDivisionError("canary")


async def wrong() -> AsyncIterator[Any]:
    yield "Hi"
    yield {"canary": 1}


@pytest.mark.parametrize("make", [broken, broken_in_a_thread, wrong])
async def test_an_exception_is_an_error_event_and_a_traceback(make: Callable[[], Source]) -> None:
    """The client gets `internal` and the request's id after what there was; the log gets the traceback."""
    with capture_logs() as logs:
        async with serving(app_of(make), own=False) as url:
            reply = await ask(url, "GET", "/mine")
    assert [event.event for event in reply.events] == ["token", "usage", "error"]
    error = reply.objects[-1]
    assert error["code"] == "internal"
    assert reply.headers["x-request-id"] in error["message"]
    assert b"canary" not in reply.body
    failed = next(line for line in logs if line["event"] == "generation_failed")
    assert failed["request"] == reply.headers["x-request-id"]
    assert failed["exc_info"]


async def test_a_failure_before_anything_is_said_once() -> None:
    """An iterator whose first event is a passing `Failed` fails; it is not read again and taken for an empty answer."""

    async def failing() -> AsyncIterator[Any]:
        yield Failed(code="upstream_cut", message="gone", retryable=True)

    async with serving(app_of(failing), own=False) as url:
        reply = await ask(url, "GET", "/mine")
    assert [event.event for event in reply.events] == ["usage", "error"]
    assert reply.objects[-1]["code"] == "upstream_cut"
