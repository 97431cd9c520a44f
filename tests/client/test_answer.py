"""The client against real servers: every token once, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from tests.client.severing import SeveringProxy
from tests.server import running_server, serving
from tests.waiting import until
from tests.web.tapped import House, house

from tailrace import (
    Answer,
    Client,
    Event,
    Finished,
    ReasoningDelta,
    RequestError,
    StreamError,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UnreachableError,
    UsageReported,
    create_app,
)
from tailrace.client import Patience

QUICK = Patience(backoff=0.001, resume=10)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server with the simulated model."""
    async with serving(create_app()) as address:
        yield address


@pytest.fixture
async def tapped() -> AsyncIterator[House]:
    """A server whose upstream the test holds in its hand."""
    async with house("direct") as running:
        yield running


def text_of(events: list[Event]) -> str:
    """The text of these events, joined."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def next_event(answer: Answer) -> Event:
    """The next event of an answer."""
    return await anext(aiter(answer))


async def test_an_answer_comes_as_typed_events_and_stands_in_its_attributes(url: str) -> None:
    """Reasoning, tool calls, text, usage and the end come as events; the attributes hold what they come to."""
    async with Client(url) as client, client.stream("Hi", model="simulated/n5-d0-r3-t1") as answer:
        events = [event async for event in answer]
    assert any(isinstance(event, ReasoningDelta) for event in events)
    called = [event for event in events if isinstance(event, ToolCallStarted)]
    arguments = "".join(event.arguments for event in events if isinstance(event, ToolCallDelta))
    assert [(use.id, use.name) for use in answer.tool_calls.values()] == [(call.id, call.name) for call in called]
    assert answer.tool_calls[0].arguments == arguments != ""
    assert answer.text == text_of(events)
    assert isinstance(events[-2], UsageReported)
    assert answer.usage == events[-2]
    assert isinstance(events[-1], Finished)
    assert answer.finish_reason == events[-1].reason
    assert answer.id.startswith("gen_")


async def test_the_text_alone_is_one_call(url: str) -> None:
    """`read` waits for the end and returns the text."""
    async with Client(url) as client:
        assert "Hi there" in await client.stream("Hi there", model="simulated/n60-d0").read()


@pytest.mark.parametrize("step", range(4))
async def test_a_cut_after_any_byte_loses_nothing_and_repeats_nothing(url: str, step: int) -> None:
    """Cut after every byte of the answer (here each fourth), then twice more: the events come to the same text."""
    async with Client(url) as client:
        whole = await client.stream("Hi", model="simulated/n6-d0").read()
    async with SeveringProxy(url) as proxy, Client(proxy.url, patience=QUICK) as client:
        for cut in range(1 + step, 1900, 4):
            proxy.limits[:] = [cut, 700, 400]
            async with client.stream("Hi", model="simulated/n6-d0") as answer:
                events = [event async for event in answer]
            assert (text_of(events), answer.text) == (whole, whole), cut
            assert [type(event) for event in events].count(Finished) == 1
            proxy.limits.clear()


async def test_a_question_whose_answer_never_came_is_put_again_with_its_key(url: str) -> None:
    """A connection that breaks before the head asks again with the same Idempotency-Key: the model ran once."""
    async with SeveringProxy(url) as proxy, Client(proxy.url, patience=QUICK) as client:
        proxy.limits = [1]
        await client.stream("Hi", model="simulated/n6-d0").read()
        keys = [re.findall(rb"(?i)\r\nidempotency-key: ([^\r]+)", request) for request in proxy.requests]
        assert [request[:4] for request in proxy.requests] == [b"POST", b"POST"]
        assert keys[0] == keys[1] != []


async def test_an_answer_that_fails_raises_after_what_came(tapped: House) -> None:
    """A failure in mid-answer is a StreamError with its code; the events before it have come."""
    async with Client(tapped.url) as client, client.stream("Hi", model="tap") as answer:
        events = asyncio.create_task(next_event(answer))
        run = await tapped.tap.asked(1)
        run.start()
        run.say("half")
        assert await events == TextDelta(text="half")
        run.fail(StreamError("upstream_cut", "it broke"))
        with pytest.raises(StreamError) as raised:
            await next_event(answer)
    assert (raised.value.code, raised.value.message, answer.text) == ("upstream_cut", "it broke", "half")


async def test_leaving_early_cancels_at_once_and_asking_to_go_on_does_not(tapped: House) -> None:
    """An answer left before its end stops its upstream; with `on_disconnect="continue"` it goes on."""
    async with Client(tapped.url) as client:
        for policy, stops in ((None, True), ("continue", False)):
            async with client.stream("Hi", model="tap", on_disconnect=policy) as answer:
                first = asyncio.create_task(next_event(answer))
                await until(lambda: tapped.tap.runs and not tapped.tap.runs[-1].over)
                run = tapped.tap.runs[-1]
                run.start()
                run.say("half")
                await first
            await until(lambda: not tapped.viewers)
            assert (run.over or run.cancelled) is stops
            run.finish()
            await until(lambda: run.over)  # noqa: B023


async def test_another_client_may_read_and_cancel_the_same_answer(tapped: House) -> None:
    """`attach` reads from the start; `cancel` ends it for all, each of whom is told so."""
    async with Client(tapped.url) as mine, Client(tapped.url) as other:
        answer = mine.stream("Hi", model="tap")
        first = asyncio.create_task(next_event(answer))
        run = await tapped.tap.asked(1)
        run.start()
        run.say("half")
        await first
        async with aclosing(other.attach(answer.id)) as copy:
            assert await next_event(copy) == TextDelta(text="half")
            assert (await other.state(answer.id))["text"] == "half"
            assert (await other.cancel(answer.id))["error"]["code"] == "cancelled"
            for reader in (answer, copy):
                with pytest.raises(StreamError) as raised:
                    await reader.read()
                assert raised.value.code == "cancelled"


async def test_refusals_name_the_field(url: str) -> None:
    """What the server refuses is a RequestError with its status, code and field."""
    async with Client(url) as client:
        with pytest.raises(RequestError) as raised:
            await client.stream("Hi", max_tokens=-1).read()
        assert (raised.value.status, raised.value.field) == (422, "max_tokens")
        with pytest.raises(RequestError) as raised:
            await client.attach("gen_" + "0" * 24).read()
        assert raised.value.status == 404


async def test_a_server_that_is_not_there_is_told_soon() -> None:
    """Nobody listens: UnreachableError, which names the server."""
    async with Client("http://127.0.0.1:9", patience=QUICK) as client:
        with pytest.raises(UnreachableError) as raised:
            await client.stream("Hi").read()
        with pytest.raises(UnreachableError):
            await client.models()
    assert raised.value.url == "http://127.0.0.1:9"


async def test_a_server_that_dies_in_mid_answer_is_told_after_patience() -> None:
    """The text that came holds, and the error says that the server does not answer."""
    async with running_server() as server, Client(server.url, patience=Patience(backoff=0.01, resume=0.2)) as client:
        answer = client.stream("Hi", model="simulated/n1000-d5")
        await next_event(answer)
        server.signal(signal.SIGKILL)
        with pytest.raises(UnreachableError):
            await answer.read()
        assert answer.text


async def test_what_is_kept_can_be_looked_up(url: str) -> None:
    """Models, sums of usage and conversations come as values."""
    async with Client(url) as client:
        await client.stream("Hi", model="simulated/n3-d0", session_id="talk").read()
        assert "simulated" in await client.models()
        assert [message["role"] for message in (await client.session("talk"))["messages"]] == ["user", "assistant"]
        sums = await client.usage(by="model")
        assert any(total["generations"] >= 1 for total in sums)
