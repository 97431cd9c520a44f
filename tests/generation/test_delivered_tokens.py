"""What was delivered, beside what was generated: to readers that stay, leave, are slow, or are nobody."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from tests.gateway import STREAM, WHOLE, gateway
from tests.reader import Reader
from tests.tap import Tap
from tests.waiting import until

from tailrace.events import TextDelta, UsageReported
from tailrace.providers import Finish, Sink
from tailrace.requests import ChatRequest

pytestmark = pytest.mark.usefixtures("no_leaks")

HI: Final = {"message": "Hi"}


@pytest.mark.parametrize("middleware", [False, True], ids=["direct", "awaiting"])
@pytest.mark.parametrize("target", [STREAM, WHOLE])
@pytest.mark.parametrize("session", [{}, {"session_id": "s"}], ids=["alone", "in a session"])
async def test_a_reader_that_stays_is_handed_everything(target: str, middleware: bool, session: dict[str, Any]) -> None:
    """All tokens count as delivered to who reads to the end, streaming or whole, even of a last burst."""
    async with gateway(middleware=middleware) as house:
        await house.say(*["x "] * 50, target=target, **session)
        row = await house.settled_row()
        assert row.delivered_tokens == row.output_tokens
        assert row.output_tokens


class Burst(Tap):
    """Says all, and finishes, in one step of its task."""

    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        sink([*(TextDelta(text=" so") for _ in range(20)), UsageReported(input_tokens=1, output_tokens=20)])
        return Finish(reason="stop")


@pytest.mark.parametrize("middleware", [False, True], ids=["direct", "awaiting"])
async def test_an_answer_that_comes_in_one_step_is_delivered(middleware: bool) -> None:
    """A provider that says all without a pause, and finishes in the same step, has delivered all too."""
    async with gateway(Burst(name="burst"), middleware=middleware) as house:
        for count, asked in enumerate([HI, {**HI, "session_id": "s"}], 1):
            answer = await house.ask("POST", STREAM, {**asked, "model": "burst/b"})
            assert answer.objects[-1]["done"]
            row = (await house.settled(count))[-1]
            assert (row.delivered_tokens, row.output_tokens) == (20, 20)


async def test_a_reader_that_leaves_is_handed_its_part() -> None:
    """What came after the last reader had left was generated and not delivered."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, on_disconnect="continue")
        run.say(" so", " so", " so")
        await reader.until(b" so", times=3)
        reader.leave()
        await until(lambda: not any(log.viewers for log in house.tailrace.generations.ring))
        run.say(*[" so"] * 9, UsageReported(input_tokens=1, output_tokens=24))
        run.finish()
        row = await house.settled_row()
        assert (row.status, row.output_tokens, row.delivered_tokens) == ("finished", 24, 6)


@pytest.mark.parametrize("target", [STREAM, WHOLE])
async def test_nobody_is_handed_nothing(target: str) -> None:
    """An answer whose reader left before it began was delivered to nobody, and settled as it was."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, target=target, on_disconnect="continue")
        reader.leave()
        await until(lambda: not any(log.viewers for log in house.tailrace.generations.ring))
        run.say("Hello")
        run.finish()
        row = await house.settled_row()
        assert (row.status, row.output_tokens, row.delivered_tokens) == ("finished", 1, 0)


async def test_a_slow_reader_is_handed_what_it_took() -> None:
    """A reader that stops reading has been handed less than was generated, and settling does not wait for it."""
    async with gateway(stream={"max_answer": 64 << 20}) as house, Reader(house.url, receive_buffer=4096) as reader:
        run = await house.begin(reader)
        run.say("first ")
        await reader.until(b"first")
        reader.stop_reading()
        for _ in range(400):
            run.say("x" * 10_000)
            await asyncio.sleep(0)
        run.say(UsageReported(input_tokens=1, output_tokens=401))
        run.finish()
        row = await house.settled_row()
        assert row.output_tokens == 401
        assert row.delivered_tokens is not None
        assert 1 < row.delivered_tokens < 401
        reader.go_on_reading()
        assert len((await reader.whole()).text) == 6 + 400 * 10_000
