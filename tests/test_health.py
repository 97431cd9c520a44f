"""How the upstreams do: what counts as their failure, and for how long."""

from __future__ import annotations

import asyncio

import pytest
from tests.waiting import until
from tests.web.admin.charted import fail_upstream

from tailrace.errors import FailureCode, StreamError
from tailrace.health import WINDOW_MINUTES, Failure, Health

NOON = 12 * 3600.0


class Clock:
    """Stands still until a test sets it."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


async def answer() -> str:
    return "whole"


async def test_an_exchange_is_counted_while_it_runs_and_after() -> None:
    """It runs until it has ended, whichever way; what it gives goes through."""
    health = Health(Clock())
    may_end = asyncio.Event()

    async def run() -> str:
        await may_end.wait()
        return "whole"

    running = asyncio.create_task(health.watch("a", run()))
    await until(lambda: "a" in health.upstreams)
    assert (health.upstreams["a"].running, health.upstreams["a"].last_answer_at) == (1, None)
    may_end.set()
    assert await running == "whole"
    assert (health.upstreams["a"].running, health.upstreams["a"].last_answer_at) == (0, NOON)
    assert health.upstreams["a"].requests.total() == 1


@pytest.mark.parametrize(
    ("code", "status", "failures"),
    [
        ("upstream_cut", None, 1), ("connect_timeout", None, 1), ("upstream_refused", 429, 1),
        ("upstream_auth", None, 1), ("upstream_refused", 400, 0), ("upstream_refused", 413, 0),
    ],
)  # fmt: skip
async def test_what_counts_as_a_failure(code: FailureCode, status: int | None, failures: int) -> None:
    """All that an upstream does wrong; not what a caller got wrong."""
    health = Health(Clock())
    await fail_upstream(health, code, name="a", status=status)
    upstream = health.upstreams["a"]
    assert (upstream.requests.total(), upstream.failures.total(), upstream.running) == (1, failures, 0)
    assert (upstream.last_failure is not None) == bool(failures)


async def test_a_reader_who_leaves_is_no_failure_and_silence_is() -> None:
    """Of the exchanges that are stopped only those count that were stopped because nothing came."""
    health = Health(Clock())
    await health.watch("a", answer())
    health.note_stop("a", StreamError("cancelled", "left"))
    health.note_stop("a", StreamError("total_timeout", "long"))
    assert health.upstreams["a"].failures.total() == 0
    health.note_stop("a", StreamError("idle_timeout", "silent"))
    assert health.upstreams["a"].last_failure == Failure(code="idle_timeout", status=504, at=NOON)
    assert health.upstreams["a"].failures.total() == 1


async def test_counts_are_of_the_last_minutes() -> None:
    """After five minutes they are forgotten; the last failure stays."""
    clock = Clock()
    health = Health(clock)
    await fail_upstream(health, name="a")
    clock.now += (WINDOW_MINUTES - 1) * 60
    assert health.upstreams["a"].failures.total() == 1
    clock.now += 60
    upstream = health.upstreams["a"]
    assert (upstream.requests.total(), upstream.failures.total()) == (0, 0)
    assert upstream.last_failure is not None
