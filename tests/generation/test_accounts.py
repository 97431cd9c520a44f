"""The row of each answer: there before anything is asked, settled once, with the figures of who answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.gateway import CACHED, IN, OUT, STREAM, Gateway, execute, gateway
from tests.ledger.specimens import opening
from tests.ledger.specimens import row as row_of
from tests.providers.speaking import FORMATS, Format
from tests.reader import Reader
from tests.tap import Run, Tap
from tests.upstream import ReceivedRequest, ScriptedUpstream, Step
from tests.waiting import until

from tailrace import tokens
from tailrace.errors import UpstreamError
from tailrace.events import ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStarted, UsageReported
from tailrace.generation import Attempt, Generations
from tailrace.generation.accounts import Account
from tailrace.ledger import Budget, Ledger, Row, create_ledger
from tailrace.ledger import Price as PicoPrice
from tailrace.limits import MemoryLimits, Quota
from tailrace.metrics import Metrics
from tailrace.prices import Tariff
from tailrace.requests import ChatRequest, Tool, user_message
from tailrace.settings import ModelSettings, Price, Settings, StreamSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

HI: Final = {"message": "Hi"}
REPORTED: Final = UsageReported(input_tokens=100, output_tokens=40, reasoning_tokens=7, cached_input_tokens=60)
COST: Final = 40 * IN + 60 * CACHED + 40 * OUT


# Opened first


@pytest.mark.parametrize("wire", FORMATS.values(), ids=FORMATS)
async def test_the_row_is_committed_before_the_upstream_is_asked(wire: Format) -> None:
    """When a request reaches the upstream its row, its reservation and its session's message are in the database."""
    seen: list[Any] = []

    def look(_request: ReceivedRequest) -> list[bytes | Step]:
        path: Path = houses[0].path
        seen.append(execute(path, "SELECT status, provider, model, session_id, output_tokens FROM generations"))
        seen.append(execute(path, "SELECT reserved > 0 FROM spend WHERE period = 'total'"))
        seen.append(execute(path, "SELECT role, status, generation_id FROM turns"))
        return [wire.head(), Step.CLOSE]

    houses: list[Gateway] = []
    models = {"dear": ModelSettings(provider="up", model="m", price=Price(input=1, output=1))}
    async with ScriptedUpstream(look) as upstream, gateway(wire.make(upstream.url), models=models) as house:
        houses.append(house)
        key = await house.key(budget_usd="5")
        await house.ask("POST", STREAM, {**HI, "model": "dear", "session_id": "s"}, headers=key)
        await house.settled()
    assert seen == [[("running", "up", "dear", "s", None)], [(1,)], [("user", "whole", None)]]


# Settled once

End = Callable[[Gateway, Reader, Run], Awaitable[None]]


async def finish(house: Gateway, reader: Reader, run: Run) -> None:
    run.say("one", " two", REPORTED)
    run.finish()


async def stop_at_length(house: Gateway, reader: Reader, run: Run) -> None:
    run.say("one", " two", REPORTED)
    run.finish("length")


async def fail(house: Gateway, reader: Reader, run: Run) -> None:
    run.say("one", " two")
    run.fail(UpstreamError("upstream_cut", "cut"))


async def fail_early(house: Gateway, reader: Reader, run: Run) -> None:
    run.fail(UpstreamError("upstream_error", "no"))


async def cancel(house: Gateway, reader: Reader, run: Run) -> None:
    run.say("one", " two")
    (generation,) = house.tailrace.generations.running()
    assert (await house.ask("POST", f"/v1/streams/{generation.id}/cancel")).json()["status"] == "aborted"


async def leave(house: Gateway, reader: Reader, run: Run) -> None:
    run.say("one", " two")
    await reader.until(b" two")
    reader.leave()


async def leave_early(house: Gateway, reader: Reader, run: Run) -> None:
    reader.leave()


async def drain(house: Gateway, reader: Reader, run: Run) -> None:
    run.say("one", " two")
    await house.tailrace.drain(0)


async def time_out(house: Gateway, reader: Reader, run: Run) -> None:
    run.say("one", " two")


async def say_too_much(house: Gateway, reader: Reader, run: Run) -> None:
    run.say("one", " two")
    run.say("x" * 2000)


ENDS: Final[tuple[tuple[End, str, str, str], ...]] = (
    (finish, "finished", "stop", "reported"),
    (stop_at_length, "finished", "length", "reported"),
    (fail, "failed", "upstream_cut", "counted"),
    (fail_early, "failed", "upstream_error", "counted"),
    (cancel, "aborted", "cancelled", "counted"),
    (leave, "aborted", "cancelled", "counted"),
    (leave_early, "aborted", "cancelled", "estimated"),
    (drain, "failed", "draining", "counted"),
    (time_out, "failed", "idle_timeout", "counted"),
    (say_too_much, "failed", "too_long", "counted"),
)


@pytest.mark.parametrize("session", [None, "s"], ids=["alone", "in a session"])
@pytest.mark.parametrize(("end", "status", "reason", "source"), ENDS, ids=[end[0].__name__ for end in ENDS])
async def test_every_end_settles_the_row(end: End, status: str, reason: str, source: str, session: str | None) -> None:
    """Each way to end leaves one row with its status, its reason, its figures and their label."""
    limits = {"idle_s": 0.1, "max_answer": 1024} if end in (time_out, say_too_much) else {}
    async with gateway(stream=limits) as house, Reader(house.url) as reader:
        body: dict[str, Any] = {} if session is None else {"session_id": session}
        run = await house.begin(reader, model="priced", **body)
        await end(house, reader, run)
        row = await house.settled_row()
    assert (row.status, row.reason, row.source, row.session_id) == (status, reason, source, session)
    assert (row.provider, row.model) == ("tap", "priced")
    check_figures(row, end)
    assert row.cost == cost_of(row)
    assert row.duration_ms is not None
    assert row.duration_ms > 0
    assert (row.ttft_ms is None) == (end in (fail_early, leave_early))
    assert row.ttft_ms is None or 0 <= row.ttft_ms <= row.duration_ms


def check_figures(row: Row, end: End) -> None:
    """What went in and out is what was reported or counted."""
    counted = tokens.count_request(ChatRequest(model="tap", messages=(user_message("Hi"),)), "tap")[0]
    if end in (finish, stop_at_length):
        assert (row.input_tokens, row.output_tokens) == (100, 40)
        assert (row.reasoning_tokens, row.cached_input_tokens, row.cost) == (7, 60, COST)
    elif end is fail_early:
        assert (row.input_tokens, row.output_tokens) == (0, 0)
    elif end is leave_early:
        assert (row.input_tokens, row.output_tokens) == (counted, 0)
    elif end is say_too_much:
        assert (row.input_tokens, row.delivered_tokens) != (0, 0)
    else:
        assert (row.input_tokens, row.output_tokens) == (counted, tokens.count("one two", "tap")[0])


def cost_of(row: Row) -> int:
    """A row's tokens at the price of the priced model."""
    cached = row.cached_input_tokens or 0
    return ((row.input_tokens or 0) - cached) * IN + cached * CACHED + (row.output_tokens or 0) * OUT


async def test_a_row_without_a_price_has_no_cost() -> None:
    """Where nobody named a price the cost is not known, which is not zero."""
    async with gateway() as house:
        await house.say("Hello", usage=REPORTED)
        assert (await house.settled_row()).cost is None


async def test_rows_are_read_as_they_were_settled() -> None:
    """`GET /v1/usage/generations` shows the row, its cost in USD."""
    async with gateway() as house:
        answer = await house.say("Hello", model="priced", usage=REPORTED)
        row = await house.settled_row()
        (shown,) = (await house.ask("GET", "/v1/usage/generations")).json()["data"]
        assert shown["id"] == answer.headers["x-tailrace-stream"] == row.id
        assert (shown["status"], shown["key_id"], shown["model"]) == ("finished", "local", "priced")
        assert shown["cost_usd"] == COST / 10**12
        assert (shown["ttft_ms"], shown["duration_ms"]) == (row.ttft_ms, row.duration_ms)


async def test_two_hundred_that_leave_at_once() -> None:
    """Two hundred readers that vanish together leave two hundred rows `aborted`, with the tokens that each had."""
    async with gateway() as house:
        readers = [Reader(house.url) for _ in range(200)]
        try:
            for reader in readers:
                await reader.__aenter__()
                await reader.ask("POST", STREAM, HI)
            await house.tap.asked(200)
            for number, run in enumerate(house.tap.runs):
                run.say(*["x"] * (number % 7 + 1))
            for reader in readers:
                await reader.until(b'"delta"')
        finally:
            for reader in readers:
                reader.leave()
                await reader.__aexit__(None, None, None)
        rows = await house.settled(200)
        assert {(row.status, row.source) for row in rows} == {("aborted", "counted")}
        counts = [tokens.count("x" * length, "tap")[0] for length in range(1, 8)]
        assert sorted(row.output_tokens or 0 for row in rows) == sorted(counts[number % 7] for number in range(200))
        assert all(run.cancelled for run in house.tap.runs)


# Who answered


async def test_a_fallback_that_answered() -> None:
    """The row names the model and provider that answered, and has its price, not that of the one that was asked."""
    main, spare = Tap(UpstreamError("upstream_error", "down")), Tap(name="spare")
    models = {
        "main": ModelSettings(provider="tap", fallback=("cheap",), price=Price(input=100, output=100)),
        "cheap": ModelSettings(provider="spare", model="small", price=Price(input=1, output=2)),
    }
    async with gateway(spare, tap=main, models=models) as house:
        asking = asyncio.create_task(house.ask("POST", STREAM, {**HI, "model": "main"}))
        run = await spare.asked()
        run.say("Hello", UsageReported(input_tokens=10, output_tokens=10))
        run.finish()
        assert (await asking).text == "Hello"
        row = await house.settled_row()
        assert (row.provider, row.model, run.request.model) == ("spare", "cheap", "small")
        assert row.cost == 10 * 10**6 + 10 * 2 * 10**6


async def test_a_long_request_has_its_own_price() -> None:
    """The price is that of the input that was truly read, where the vendor takes more for long requests."""
    usual, long = (create_price(amount) for amount in (1, 5))
    tariff = Tariff(usual=usual, long=long, above=1000)
    for input_tokens, cost in ((1000, 1000 + 2), (1001, 5 * 1003)):
        row = await settled_alone(tariff, UsageReported(input_tokens=input_tokens, output_tokens=2))
        assert row.cost == cost


def create_price(amount: int) -> PicoPrice:
    """A price of so many pico-USD for every token."""
    return PicoPrice(input=amount, cached_input=amount, output=amount)


async def settled_alone(tariff: Tariff, *said: Any, request: ChatRequest | None = None, **opened: Any) -> Row:
    """The row of one generation without a server."""
    ledger, tap = create_ledger(Settings()), Tap()
    await ledger.open()
    try:
        generation_id = await run_alone(ledger, tap, tariff, *said, request=request, **opened)
        return await row_of(ledger, generation_id)
    finally:
        await ledger.close()


async def run_alone(
    ledger: Ledger, tap: Tap, tariff: Tariff, *said: Any, request: ChatRequest | None = None, **opened: Any
) -> str:
    asked = opening(**opened)
    await ledger.begin(asked)
    lease = await MemoryLimits().acquire("k1", Quota(), tokens=1)
    account = Account(ledger, asked, lease)
    generations = Generations(StreamSettings(retries=0), metrics=Metrics())
    request = request or ChatRequest(model="m", messages=(user_message("Hi"),))
    generation = generations.start([Attempt(provider=tap, request=request, tariff=tariff)], account=account)
    run = await tap.asked()
    run.say(*said)
    run.finish()
    await generation.ended()
    assert generation.log.terminal is not None
    await generations.close()
    return asked.id


# What goes wrong with the books


async def test_half_a_character_in_an_answer_settles_too() -> None:
    """Surrogates that an upstream tore apart are joined in the session's answer, and one alone keeps nothing open."""
    async with gateway() as house:
        await house.say("grin \ud83d", "\ude00 and half \ud83d", session_id="s")
        assert (await house.settled_row()).status == "finished"
        kept = (await house.ask("GET", "/v1/sessions/s")).json()["messages"][-1]
        assert kept["content"] == "grin \U0001f600 and half \ufffd"


async def test_a_request_that_can_t_be_counted_ends_too() -> None:
    """A tool whose schema no tokenizer takes: the answer has its end, and the row what is known, as an estimate."""
    request = ChatRequest(model="m", messages=(user_message("Hi"),), tools=(Tool(name="t", description="half \ud83d"),))
    with capture_logs() as logs:
        row = await settled_alone(Tariff(), "Hel", "lo", request=request)
    assert (row.status, row.output_tokens, row.source) == ("finished", 2, "estimated")
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["metering_failed"]


async def test_a_database_that_is_gone_for_a_while_loses_no_row() -> None:
    """A stream that ends while the database takes nothing ends as it should; its row is settled once it is back."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, model="priced")
        with house.database_gone():
            run.say("Hello", REPORTED)
            run.finish()
            assert (await reader.whole()).objects[-1]["done"]
            await until(lambda: not house.tailrace.generations.running())
        row = await house.settled_row()
        assert (row.status, row.cost) == ("finished", COST)


async def test_a_lost_row_is_dropped_with_its_figures() -> None:
    """Where another process has taken the row over the figures are dropped, and that is logged."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader)
        house.execute("UPDATE generations SET owner = 'another', status = 'interrupted'")
        with capture_logs() as logs:
            run.say("Hello")
            run.finish()
            await reader.whole()
            await until(lambda: not house.tailrace.generations.running())
        assert (await house.settled_row()).output_tokens is None
        assert "settled_by_another" in [line["event"] for line in logs]


# Conversations' parts of an account


async def test_an_answer_s_parts_are_kept() -> None:
    """Reasoning with its signature, text and tool calls of an answer join the session, in their order."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, session_id="s")
        run.say(ReasoningDelta(text="hm"), ReasoningDelta(text="", signature="sig"), TextDelta(text="Look"))
        run.say(ToolCallStarted(call=0, id="c1", name="f"), ToolCallDelta(call=0, arguments='{"a"'))
        run.say(ToolCallDelta(call=0, arguments=":1}"))
        run.finish("tool_calls")
        await reader.whole()
        assert (await house.ask("GET", "/v1/sessions/s")).json()["messages"][-1]["content"] == [
            {"type": "reasoning", "text": "hm", "signature": "sig"},
            {"type": "text", "text": "Look"},
            {"type": "tool_call", "id": "c1", "name": "f", "arguments": '{"a":1}'},
        ]


def test_what_is_affordable() -> None:
    """The tokens that a budget still allows are what is left without the input, at the output's price."""
    asked = opening(input_tokens=10, budget=Budget(amount=100, period="total"))
    tariff = Tariff(usual=msgspec.structs.replace(create_price(1), output=20))
    lease: Any = None
    ledger: Any = None
    assert Account(ledger, asked, lease, allowance=100).affordable_tokens(tariff) == 90 / 20
    assert Account(ledger, asked, lease, allowance=5).affordable_tokens(tariff) == 0
    assert Account(ledger, asked, lease).affordable_tokens(tariff) == float("inf")
    free_output = Tariff(usual=msgspec.structs.replace(create_price(1), output=0))
    assert Account(ledger, asked, lease, allowance=10).affordable_tokens(free_output) == float("inf")
    assert Account(ledger, asked, lease, allowance=9).affordable_tokens(free_output) == 0
