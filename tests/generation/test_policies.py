"""What becomes of an answer when its readers leave, and how a reader in Python follows it."""

from __future__ import annotations

import asyncio

import pytest
from tests.generation.generating import Viewer, check, end_of, generating, settled
from tests.tap import Tap

from tailrace.events import Event
from tailrace.generation import Generation
from tailrace.settings import OnDisconnect
from tailrace.streamlog import follow

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize(
    ("policy", "end"), [("cancel", "cancelled"), (0.05, "cancelled"), (3600, "stop"), ("continue", "stop")]
)
@pytest.mark.parametrize("begun", [False, True], ids=["before content", "after content"])
async def test_the_policy_holds_when_the_last_reader_leaves(policy: OnDisconnect, end: str, begun: bool) -> None:
    """`cancel` stops at once, seconds of grace stop after them, `continue` and enough grace let it finish."""
    async with generating(tap := Tap(), on_disconnect=policy, first_token_s=0.5, idle_s=0.5) as generation:
        run = await tap.asked()
        viewers = Viewer(), Viewer()
        for viewer in viewers:
            generation.log.attach(viewer)
        if begun:
            run.say("Hi")
        generation.log.detach(viewers[0])
        generation.tick(asyncio.get_running_loop().time() + 0.3)
        assert generation.task.cancelling() == 0
        generation.log.detach(viewers[1])
        if end == "stop":
            generation.tick(asyncio.get_running_loop().time() + 0.3)
            run.finish()
        assert end_of(await settled(generation)) == end
        assert run.cancelled == (end == "cancelled")


async def test_a_reader_that_comes_back_in_time_keeps_it_alive() -> None:
    """Grace ends with the return of a reader, and begins anew when that one leaves."""
    async with generating(tap := Tap(), on_disconnect=5.0) as generation:
        await tap.asked()
        now = asyncio.get_running_loop().time()
        generation.log.attach(first := Viewer())
        generation.log.detach(first)
        generation.log.attach(second := Viewer())
        generation.tick(now + 100)
        assert generation.task.cancelling() == 0
        generation.log.detach(second)
        generation.tick(now + 4)
        assert generation.task.cancelling() == 0
        generation.tick(now + 100)
        assert end_of(await settled(generation)) == "cancelled"


async def test_a_viewer_in_python_gets_every_event_once() -> None:
    """`follow` yields the log as it grows, whoever is quicker, and ends after the terminal."""
    async with generating(tap := Tap()) as generation:
        following = asyncio.create_task(_collect(generation))
        run = await tap.asked()
        for n in range(600):
            run.say(f"{n} ")
            if n % 7 == 0:
                await asyncio.sleep(0)
        run.finish()
        assert await following == check(generation.log)
        assert await _collect(generation) == check(generation.log)


async def _collect(generation: Generation) -> list[Event]:
    return [event async for event in follow(generation.log)]
