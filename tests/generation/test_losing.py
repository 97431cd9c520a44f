"""What becomes of an answer whose log another process has taken over."""

from __future__ import annotations

import asyncio

from tests.generation.generating import Viewer, end_of, generating, settled, text_of
from tests.tap import Tap
from tests.waiting import until

from tailrace.streamlog import RingLog

TAP = "one "


async def test_it_ends_and_closes_its_upstream() -> None:
    """Local readers keep what they have and are told `interrupted`, in a log that says that others may know less."""
    tap = Tap()
    async with generating(tap) as generation:
        run = await tap.asked()
        run.say(TAP)
        generation.lose()
        events = await settled(generation)
        assert (text_of(events), end_of(events)) == (TAP, "interrupted")
        assert generation.log.torn
        assert run.cancelled


async def test_one_that_has_ended_stays_as_it_is() -> None:
    """What was whole when the loss became known is not called torn."""
    tap = Tap()
    async with generating(tap) as generation:
        run = await tap.asked()
        run.say(TAP)
        run.finish()
        events = await settled(generation)
        generation.lose()
        assert end_of(events) == "stop"
        assert not generation.log.torn


async def test_readers_elsewhere_count() -> None:
    """With policy `cancel` the upstream runs on while somebody reads in another process, and stops with the last."""
    tap = Tap()
    async with generating(tap) as generation:
        run = await tap.asked()
        run.say(TAP)
        log: RingLog = generation.log
        viewer = Viewer()
        log.attach(viewer)
        log.note_remote(2, 0)
        log.detach(viewer)
        await asyncio.sleep(0)
        assert not generation.stopped
        log.note_remote(1, log.tail + 5)
        assert (log.viewers, log.delivered) == (1, log.tail)
        log.note_remote(0, log.tail)
        await until(lambda: run.cancelled)
        assert end_of(await settled(generation)) == "cancelled"
