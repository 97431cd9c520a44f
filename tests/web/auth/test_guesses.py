"""Who tries keys is held up: some at once, then one a second, each address for itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.auth.asking import Clock

from tailrace.errors import RequestError
from tailrace.web.auth import Guesses


def take(guesses: Guesses, address: str, times: int) -> int:
    """How many of so many guesses were let through."""
    return sum(_passes(guesses, address) for _ in range(times))


def _passes(guesses: Guesses, address: str) -> bool:
    try:
        guesses.take(address)
    except RequestError:
        return False
    return True


def test_ten_at_once_then_one_a_second(clock: Clock) -> None:
    """The first ten pass, then as many as seconds, and never more than ten at once."""
    guesses = Guesses(clock=clock)
    assert take(guesses, "192.0.2.1", 100) == 10
    clock.now += 3
    assert take(guesses, "192.0.2.1", 100) == 3
    clock.now += 3600
    assert take(guesses, "192.0.2.1", 100) == 10


def test_retry_after_is_the_truth(clock: Clock) -> None:
    """Whoever waits as long as it was told has a guess."""
    guesses = Guesses(at_once=1, per_second=0.1, clock=clock)
    guesses.take("a")
    with pytest.raises(RequestError) as caught:
        guesses.take("a")
    error = caught.value
    assert (error.status, error.code, error.headers) == (429, "too_many_wrong_keys", {"retry-after": "10"})
    clock.now += 10
    guesses.take("a")


def test_addresses_do_not_pay_for_each_other(clock: Clock) -> None:
    """One that is held up holds up no other; an IPv6 customer's network counts as one."""
    guesses = Guesses(clock=clock)
    assert take(guesses, "192.0.2.1", 20) == 10
    assert take(guesses, "192.0.2.2", 20) == 10
    assert sum(take(guesses, f"2001:db8:0:1::{number:x}", 1) for number in range(20)) == 10
    assert take(guesses, "2001:db8:0:2::1", 20) == 10


def test_what_was_no_guess_is_given_back(clock: Clock) -> None:
    """A right key costs nothing, however often it comes, and never earns more than a full bucket."""
    guesses = Guesses(clock=clock)
    for _ in range(100):
        guesses.take("a")
        guesses.give_back("a")
    guesses.give_back("a")
    assert take(guesses, "a", 100) == 10


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=200))
def test_memory_is_bounded(steps: list[tuple[int, int]]) -> None:
    """Whatever addresses come at whatever times, no more buckets are kept than allowed, and no full one."""
    clock = Clock()
    guesses = Guesses(addresses=8, clock=clock)
    for number, seconds in steps:
        clock.now += seconds
        take(guesses, f"192.0.2.{number}", 2)
        assert len(guesses._buckets) <= 8
    clock.now += 3600
    for number in range(31):
        guesses.take(f"192.0.2.{number}")
        guesses.give_back(f"192.0.2.{number}")
    assert not guesses._buckets.keys() & {f"192.0.2.{number}" for number in range(31)}
