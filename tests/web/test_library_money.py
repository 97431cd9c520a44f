"""The library's part in what is paid for: a user's own routes behind keys, their answers metered and settled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from fastapi import Depends, FastAPI, Response
from fastapi.responses import PlainTextResponse
from tests.gateway import CACHED, IN, OUT, PRICED, STREAM, Gateway, refusal
from tests.reader import Reader
from tests.server import serving
from tests.tap import Tap
from tests.waiting import until
from tests.web.tapped import pass_through

from tailrace import Caller, Finished, RequestError, Settings, Tailrace, TextDelta, UsageReported, tokens
from tailrace.settings import LimitSettings, ModelSettings, Price, StreamSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

SUMMARY: Final = ModelSettings(provider="iterator", price=Price(input=1.0, cached_input=0.25, output=10.0))
"""What an application's own iterators cost, by the name that it gives them."""


async def talk() -> AsyncIterator[str]:
    yield "Hel"
    yield "lo"


class Application(Gateway):
    """Somebody's own application with tailrace in it. `source` makes what its route `/mine` streams."""

    source: Callable[[], Any] = staticmethod(talk)


@asynccontextmanager
async def application(*, middleware: bool = False, **options: Any) -> AsyncIterator[Application]:
    """Serve `/mine`, which streams an iterator, and `/ask`, which asks a model, both behind `require_key`."""
    tap = Tap()
    tailrace = Tailrace(
        Settings(
            default_model="tap",
            models={"summary": SUMMARY, "priced": PRICED},
            stream=StreamSettings(retries=0),
            limits=options.pop("limits", LimitSettings()),
        ),
        providers={"tap": tap},
        **options,
    )
    app = FastAPI(lifespan=tailrace.lifespan)
    app.include_router(tailrace.router)

    @app.get("/mine")
    async def mine(model: str = "summary", caller: Caller = Depends(tailrace.require_key)) -> Response:  # noqa: B008
        return tailrace.stream_response(house.source(), key=caller, model=model)

    @app.get("/blocking")
    def blocking(caller: Caller = Depends(tailrace.require_key)) -> Response:  # noqa: B008
        return tailrace.stream_response(iter(["Hel", "lo"]), key=caller)

    @app.get("/ask")
    async def ask(caller: Caller = Depends(tailrace.require_key)) -> Response:  # noqa: B008
        events = tailrace.stream(message="Hi", model="priced", session_id="s", caller=caller)
        return PlainTextResponse("".join([event.text async for event in events if isinstance(event, TextDelta)]))

    if middleware:
        app.middleware("http")(pass_through)
    async with serving(app, own=not middleware) as url:
        house = Application(url, tailrace, tap)
        yield house


# Who may


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
async def test_a_route_of_one_s_own_needs_a_key(middleware: bool) -> None:
    """`Depends(tailrace.require_key)` lets in who has a key, and refuses all others as FastAPI refuses."""
    async with application(middleware=middleware) as house:
        key = await house.key()
        for headers in ({}, {"x-api-key": "tr_nobody_" + "x" * 43}, {"authorization": "Basic x"}):
            answer = await house.ask("GET", "/mine", headers=headers)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/json"
            assert "a valid API key is needed" in answer.json()["detail"]
        assert (await house.ask("GET", "/mine", headers=key)).text == "Hello"
        assert len(await house.settled()) == 1


async def test_a_browser_s_token_is_a_key_too() -> None:
    """A token made by a key opens a route of one's own, as its user."""
    async with application() as house:
        token = await house.token(await house.key(), user="ada")
        assert (await house.ask("GET", "/mine", headers=token)).text == "Hello"
        assert (await house.settled_row()).scope.user == "ada"


async def test_the_application_s_own_users() -> None:
    """With `identify` the caller is the user it names, in rows and sessions; whom it does not know is 401."""
    async with application(identify=lambda request: request.headers.get("x-user")) as house:
        assert (await house.ask("GET", "/mine")).status == 401
        await house.ask("GET", "/mine", headers={"x-user": "ada"})
        await house.say("Hello", key={"x-user": "bob"}, session_id="s")
        rows = await house.settled(2)
        assert [(row.scope.key_id, row.scope.user) for row in rows] == [("app", "ada"), ("app", "bob")]
        shown = (await house.ask("GET", "/v1/usage/generations", headers={"x-user": "ada"})).json()["data"]
        assert [(row["user"], row["model"]) for row in shown] == [("ada", "summary")]
        assert (await house.ask("GET", "/v1/sessions/s", headers={"x-user": "ada"})).status == 404


# What it costs


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
async def test_an_iterator_is_metered_and_settled(middleware: bool) -> None:
    """With `key` an iterator's text is counted, priced by the name that it is given, and has its row."""
    async with application(middleware=middleware) as house:
        key = await house.key()
        answer = await house.ask("GET", "/mine", headers=key)
        row = await house.settled_row()
        counted = tokens.count("Hello", "summary")[0]
        assert row.id == answer.headers["x-tailrace-stream"]
        assert row.scope.key_id == house.key_ids[key["x-api-key"]]
        assert (row.provider, row.model, row.status, row.reason) == ("iterator", "summary", "finished", "stop")
        assert (row.output_tokens, row.delivered_tokens, row.source) == (counted, counted, "counted")
        assert row.cost == counted * OUT


async def test_an_iterator_says_what_it_used() -> None:
    """An iterator of events reports its usage, which is what is settled; one without a price has no cost."""

    async def tell() -> AsyncIterator[Any]:
        yield TextDelta(text="Hello")
        yield UsageReported(input_tokens=30, output_tokens=5, cached_input_tokens=10)
        yield Finished(reason="length")

    async with application() as house:
        house.source = tell
        key = await house.key()
        for count, (model, cost) in enumerate({"summary": 20 * IN + 10 * CACHED + 5 * OUT, "other": None}.items(), 1):
            await house.ask("GET", f"/mine?model={model}", headers=key)
            row = (await house.settled(count))[-1]
            assert (row.model, row.reason, row.source, row.cost) == (model, "length", "reported", cost)
            assert (row.input_tokens, row.output_tokens, row.cached_input_tokens) == (30, 5, 10)


async def test_a_blocking_iterator_in_a_plain_route() -> None:
    """A `def` route and an iterator that blocks are metered too."""
    async with application() as house:
        assert (await house.ask("GET", "/blocking", headers=await house.key())).text == "Hello"
        assert (await house.settled_row()).output_tokens == tokens.count("Hello", "iterator")[0]


async def test_without_a_key_nobody_pays() -> None:
    """Without `key` an answer is streamed and has no row."""
    tailrace = Tailrace(Settings())
    app = FastAPI(lifespan=tailrace.lifespan)

    @app.get("/mine")
    async def mine() -> Response:
        return tailrace.stream_response(talk())

    async with serving(app) as url:
        house = Gateway(url, tailrace, Tap())
        assert (await house.ask("GET", "/mine")).text == "Hello"
        assert await house.rows() == ()


def stuttering() -> Iterator[str]:
    yield "Hel"
    raise ZeroDivisionError


async def test_an_iterator_that_fails_is_settled() -> None:
    """What was said before an exception is counted; the row says `internal`."""
    async with application() as house:
        house.source = stuttering
        answer = await house.ask("GET", "/mine", headers=await house.key())
        assert answer.objects[-1]["code"] == "internal"
        row = await house.settled_row()
        assert (row.status, row.reason, row.output_tokens) == ("failed", "internal", tokens.count("Hel", "m")[0])


async def test_a_reader_that_leaves_settles_an_iterator() -> None:
    """When the reader leaves, the iterator is closed and its row is `aborted`, with what was said."""
    closed = False

    async def endless() -> AsyncIterator[str]:
        nonlocal closed
        try:
            yield "Hel"
            await asyncio.Event().wait()
        finally:
            closed = True

    async with application() as house, Reader(house.url) as reader:
        house.source = endless
        await reader.ask("GET", "/mine", headers=await house.key())
        await reader.until(b"Hel")
        reader.leave()
        row = await house.settled_row()
        assert (row.status, row.output_tokens, row.delivered_tokens) == ("aborted", 1, 1)
        await until(lambda: closed)


# What is refused


async def test_a_key_s_limits_hold_for_an_iterator() -> None:
    """Limits refuse in the response's own format, with their headers, and the iterator is never begun."""
    async with application(limits=LimitSettings(rpm=1)) as house:
        key = await house.key()
        first = await house.ask("GET", "/mine", headers=key)
        assert (first.status, first.headers["x-ratelimit-remaining-requests"]) == (200, "0")
        house.source = stuttering
        answer = await house.ask("GET", "/mine", headers=key)
        assert refusal(answer) == (429, "rate_limited")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["x-request-id"].startswith("req_")
        assert len(await house.rows()) == 1


async def test_a_key_s_budget_holds_for_an_iterator() -> None:
    """A key with a budget needs a price for an iterator, may spend what it has, and is cut off where that ends."""

    async def endless() -> AsyncIterator[str]:
        while True:
            yield " so"

    async with application() as house:
        key = await house.key(budget_usd="0.0001")
        answer = await house.ask("GET", "/mine?model=other", headers=key)
        assert refusal(answer) == (403, "model_without_price")
        house.source = endless
        answer = await house.ask("GET", "/mine", headers=key)
        assert answer.objects[-1]["code"] == "budget_exceeded"
        row = await house.settled_row()
        assert (row.reason, row.delivered_tokens) == ("budget_exceeded", 9)
        assert refusal(await house.ask("GET", "/mine", headers=key)) == (429, "budget_exceeded")


# `tailrace.stream`


async def test_a_model_is_asked_for_a_caller() -> None:
    """`tailrace.stream(…, caller=…)` is the caller's to pay, keeps its session, and streams as it comes."""
    async with application() as house, Reader(house.url) as reader:
        key = await house.key()
        for number, text in enumerate(("Hello", "again"), 1):
            await reader.ask("GET", "/ask", headers=key)
            run = await house.tap.asked(number)
            run.say(text, UsageReported(input_tokens=10, output_tokens=4))
            run.finish()
            assert (await reader.whole()).body == text.encode()
        assert [message.text for message in run.request.messages] == ["Hi", "Hello", "Hi"]
        rows = await house.settled(2)
        assert {row.scope.key_id for row in rows} == {house.key_ids[key["x-api-key"]]}
        assert {(row.cost, row.delivered_tokens, row.session_id) for row in rows} == {(10 * IN + 4 * OUT, 4, "s")}


async def test_without_a_caller_the_application_pays() -> None:
    """Without `caller` the row is the application's own."""
    async with application() as house:
        async for _ in house.tailrace.stream(message="Hi", model="simulated/n3-d0"):
            pass
        row = await house.settled_row()
        assert (row.scope.key_id, row.scope.user, row.output_tokens, row.delivered_tokens) == ("app", None, 3, 3)


async def test_a_loop_that_is_left_settles() -> None:
    """Leaving the loop stops the upstream; what the loop was handed counts as delivered."""
    async with application() as house:
        asking = asyncio.create_task(listen(house.tailrace, pieces=4))
        run = await house.tap.asked()
        run.say(*[" so"] * 10)
        await asking
        row = await house.settled_row()
        assert (row.status, row.output_tokens, row.delivered_tokens) == ("aborted", 10, 4)
        assert run.cancelled


async def listen(tailrace: Tailrace, *, pieces: int) -> None:
    """Ask, take so many pieces of text, and leave."""
    seen = 0
    async with contextlib.aclosing(tailrace.stream(message="Hi")) as events:
        async for event in events:
            seen += isinstance(event, TextDelta)
            if seen == pieces:
                return


async def test_a_caller_s_refusals_are_raised() -> None:
    """Allow-lists, limits and bad input raise RequestError before anything is asked."""
    async with application() as house:
        key = await house.key(models=["priced"], rpm=1)
        found = await house.tailrace.ledger.find_key(house.key_ids[key["x-api-key"]])
        assert found is not None
        caller = Caller(key=found[0])
        refused: list[tuple[dict[str, Any], str]] = [
            ({"message": "Hi", "model": "tap"}, "model_not_allowed"),
            ({"model": "priced"}, "invalid_field"),
            ({"message": "Hi", "model": "priced", "after": "msg_1"}, "invalid_field"),
            ({"message": "Hi", "model": "priced", "session_id": "s", "after": "msg_1"}, "message_not_found"),
        ]
        for asked, code in refused:
            with pytest.raises(RequestError) as caught:
                await anext(house.tailrace.stream(caller=caller, **asked))
            assert caught.value.code == code
        assert not house.tap.runs


async def test_a_revoked_key_s_iterator_is_stopped() -> None:
    """An iterator that streams for a key ends with `key_revoked` when the key is revoked."""

    async def endless() -> AsyncIterator[str]:
        yield "Hel"
        await asyncio.Event().wait()

    async with application() as house, Reader(house.url) as reader:
        house.source = endless
        admin, key = await house.key(admin=True), await house.key()
        await reader.ask("GET", "/mine", headers=key)
        await reader.until(b"Hel")
        await house.ask("DELETE", f"/v1/keys/{house.key_ids[key['x-api-key']]}", headers=admin)
        assert (await reader.whole()).objects[-1]["code"] == "key_revoked"
        row = await house.settled_row()
        assert (row.status, row.reason) == ("failed", "key_revoked")
        assert (await house.ask("POST", STREAM, {"message": "Hi"}, headers=key)).status == 401
