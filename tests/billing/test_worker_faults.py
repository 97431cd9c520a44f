"""Any sequence of settlements, faults, rounds, waits and restarts, against a Stripe that holds to its rules."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.billing.installation import HOUR_S, MINUTE_S, Clock, Installation
from tests.stripe_server import Fault, StripeServer

_FAULTS: Final = st.sampled_from([fault for fault in Fault if fault is not Fault.TAKEN_SILENCE])

_STEPS: Final = st.one_of(
    st.tuples(st.just("settle"), st.sampled_from(["cus_a", "cus_b"]), st.integers(2, 1000)),
    st.tuples(st.just("fault"), _FAULTS, st.integers(1, 4)),
    st.tuples(st.just("round"), st.none(), st.integers(1, 3)),
    st.tuples(st.just("wait"), st.none(), st.integers(1, 1200)),
)

_LIVES: Final = st.lists(st.lists(_STEPS, max_size=8), min_size=1, max_size=3)
"""What happens in each process's life, one process after the other."""


@given(lives=_LIVES)
@settings(max_examples=40)
async def test_every_row_is_billed_exactly_once(lives: list[list[tuple[str, object, int]]]) -> None:
    """Whatever befalls calls and processes, in the end each settled row is on the invoice once, at its value."""
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="tailrace-") as folder:
        async with StripeServer(clock) as stripe:
            installation = Installation(Path(folder), stripe, clock)
            for life in lives:
                await _live(installation, life)
            stripe.faults.clear()
            await _finish(installation)
            assert {event.identifier: event.value for event in stripe.invoice} == installation.owed
            assert len(stripe.invoice) == len(installation.owed)
            assert installation.states() <= {"sent"}
            assert stripe.overlaps == 0


async def _live(installation: Installation, life: list[tuple[str, object, int]]) -> None:
    async with installation.process() as (ledger, worker):
        for step, what, number in life:
            match step:
                case "settle":
                    await installation.settle(ledger, str(what), number)
                case "fault":
                    assert isinstance(what, Fault)
                    installation.stripe.faults.extend([what] * number)
                case "round":
                    for _ in range(number):
                        await worker.deliver_due()
                case "wait":
                    installation.clock.advance(number)


async def _finish(installation: Installation) -> None:
    """A last process, with nothing in its way."""
    async with installation.process() as (_, worker):
        end = installation.clock() + HOUR_S
        while installation.clock() < end:
            while await worker.deliver_due():
                pass
            installation.clock.advance(5 * MINUTE_S)
