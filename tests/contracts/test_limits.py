"""What every keeper of limits does: buckets that refill, debts, headers, streams, and leases that end once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contracts.limiting import IMPLEMENTATIONS, Clock, creating, refused

from tailrace.errors import RequestError
from tailrace.limits import Lease, Limits, Quota


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=IMPLEMENTATIONS)
async def limits(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Limits]:
    async with creating(request.param) as create:
        limits = create(clock)
        await limits.open()
        yield limits
        await limits.close()


async def remaining(limits: Limits, quota: Quota, kind: str = "tokens") -> int:
    """How much the key has left, as a request sees it that has taken one of the requests itself and gives it back."""
    lease = await limits.acquire("key", quota, tokens=0)
    await lease.cancel()
    return int(lease.headers[f"x-ratelimit-remaining-{kind}"])


async def test_without_limits_all_pass(limits: Limits) -> None:
    """A key without limits is never refused, and its answers carry no headers about them."""
    leases = [await limits.acquire("key", Quota(), tokens=10**9) for _ in range(100)]
    assert {frozenset(lease.headers) for lease in leases} == {frozenset()}


async def test_a_minutes_requests_at_once(limits: Limits) -> None:
    """A key may send a minute's requests at once, and not one more."""
    quota = Quota(rpm=3)
    for _ in range(3):
        await limits.acquire("key", quota, tokens=1)
    refusal = await refused(limits, quota)
    assert (refusal.code, refusal.message) == (
        "rate_limited",
        "this key may have 3 requests a minute; try again in 20 s",
    )


async def test_buckets_refill_continuously(limits: Limits, clock: Clock) -> None:
    """Three a minute is one more each twenty seconds, not three when the minute is over."""
    quota = Quota(rpm=3)
    for _ in range(3):
        await limits.acquire("key", quota, tokens=1)
    clock.now += 19.9
    await refused(limits, quota)
    clock.now += 0.1
    await limits.acquire("key", quota, tokens=1)
    await refused(limits, quota)


async def test_nothing_is_saved_up(limits: Limits, clock: Clock) -> None:
    """After an hour of rest a key may have a minute's worth, not an hour's."""
    quota = Quota(rpm=2)
    await limits.acquire("key", quota, tokens=1)
    clock.now += 3600
    for _ in range(2):
        await limits.acquire("key", quota, tokens=1)
    await refused(limits, quota)


async def test_keys_are_apart(limits: Limits) -> None:
    """What one key takes is not taken from another."""
    quota = Quota(rpm=1, tpm=10, max_streams=1)
    await limits.acquire("key", quota, tokens=10)
    await refused(limits, quota)
    await limits.acquire("another", quota, tokens=10)


async def test_an_estimate_is_taken(limits: Limits) -> None:
    """The estimate counts before the answer is there, and a request that has too much of it is refused."""
    quota = Quota(tpm=60)
    await limits.acquire("key", quota, tokens=50)
    refusal = await refused(limits, quota, tokens=20)
    assert refusal.message == "this key may have 60 tokens a minute; try again in 10 s"
    await limits.acquire("key", quota, tokens=10)


@pytest.mark.parametrize(("truth", "left"), [(20, 40), (50, 10), (0, 60)])
async def test_the_truth_takes_the_estimates_place(limits: Limits, truth: int, left: int) -> None:
    """Once settled, exactly the true number of tokens is missing."""
    quota = Quota(tpm=60)
    lease = await limits.acquire("key", quota, tokens=30)
    await lease.settle(truth)
    assert await remaining(limits, quota) == left


async def test_debts_are_paid_by_waiting(limits: Limits, clock: Clock) -> None:
    """An answer longer than what was left puts the bucket in debt, and the debt is waited for."""
    quota = Quota(tpm=60)
    lease = await limits.acquire("key", quota, tokens=10)
    await lease.settle(180)
    refusal = await refused(limits, quota, tokens=1)
    assert refusal.headers["x-ratelimit-remaining-tokens"] == "0"
    assert refusal.headers["x-ratelimit-reset-tokens"] == "180.000s"
    assert refusal.headers["retry-after"] == "121"
    clock.now += 121
    await limits.acquire("key", quota, tokens=1)


async def test_a_debt_is_not_paid_by_the_time_before_it(limits: Limits, clock: Clock) -> None:
    """A bucket that had been full for long while its stream ran owes the whole excess when it ends."""
    quota = Quota(tpm=60)
    lease = await limits.acquire("key", quota, tokens=10)
    clock.now += 600
    await lease.settle(100)
    refusal = await refused(limits, quota, tokens=1)
    assert refusal.headers["x-ratelimit-reset-tokens"] == "90.000s"


async def test_a_debt_is_not_forgotten(limits: Limits, clock: Clock) -> None:
    """A key that owes much is still refused after minutes in which it asked for nothing, though others did."""
    quota = Quota(tpm=60)
    lease = await limits.acquire("key", quota, tokens=10)
    clock.now += 600
    await lease.settle(1000)
    for _ in range(5):
        clock.now += 61
        await limits.acquire("another", quota, tokens=1)
    await refused(limits, quota, tokens=1)


async def test_giving_back_never_overfills(limits: Limits, clock: Clock) -> None:
    """What comes back to a bucket that has refilled meanwhile is no more than what it holds."""
    quota = Quota(rpm=2, tpm=60)
    lease = await limits.acquire("key", quota, tokens=50)
    clock.now += 60
    await lease.cancel()
    assert await remaining(limits, quota) == 60
    for _ in range(2):
        await limits.acquire("key", quota, tokens=1)
    await refused(limits, quota)


async def test_more_than_a_minutes_worth(limits: Limits, clock: Clock) -> None:
    """A request whose estimate is more than a minute's tokens passes when the bucket is full, and leaves a debt."""
    quota = Quota(tpm=60)
    first = await limits.acquire("key", quota, tokens=1)
    refusal = await refused(limits, quota, tokens=600)
    assert refusal.headers["retry-after"] == "1"
    await first.settle(1)
    clock.now += 1
    await limits.acquire("key", quota, tokens=600)
    assert (await refused(limits, quota)).headers["retry-after"] == "541"


async def test_streams_at_a_time(limits: Limits) -> None:
    """A key may have so many streams at a time; a place is free once one has ended, in whatever way."""
    quota = Quota(max_streams=2)
    first = await limits.acquire("key", quota, tokens=1)
    second = await limits.acquire("key", quota, tokens=1)
    refusal = await refused(limits, quota)
    assert (refusal.code, refusal.message) == (
        "too_many_streams",
        "this key may have 2 streams at a time, and has them",
    )
    assert refusal.headers == {"retry-after": "1"}
    await first.settle(1)
    third = await limits.acquire("key", quota, tokens=1)
    await refused(limits, quota)
    await second.cancel()
    await third.cancel()
    for _ in range(2):
        await limits.acquire("key", quota, tokens=1)


async def test_waiting_frees_no_stream(limits: Limits, clock: Clock) -> None:
    """A stream holds its place for as long as it runs."""
    quota = Quota(max_streams=1)
    await limits.acquire("key", quota, tokens=1)
    clock.now += 3600
    await limits.acquire("another", quota, tokens=1)
    await refused(limits, quota)


async def test_a_lease_ends_once(limits: Limits) -> None:
    """Ending a lease a second time, in the same or another way, does nothing."""
    quota = Quota(rpm=10, tpm=60, max_streams=1)
    lease = await limits.acquire("key", quota, tokens=30)
    await lease.settle(20)
    await lease.settle(60)
    await lease.cancel()
    assert await remaining(limits, quota) == 40
    assert await remaining(limits, quota, "requests") == 8
    await limits.acquire("key", quota, tokens=1)
    await refused(limits, quota)


async def test_cancel_gives_everything_back(limits: Limits) -> None:
    """A request that came to nothing costs neither a request nor a token nor a place."""
    quota = Quota(rpm=1, tpm=60, max_streams=1)
    for _ in range(5):
        lease = await limits.acquire("key", quota, tokens=60)
        await lease.cancel()


async def test_a_refusal_takes_nothing(limits: Limits) -> None:
    """Whichever limit refuses a request, it costs nothing of the others."""
    quota = Quota(rpm=2, tpm=60, max_streams=2)
    await limits.acquire("key", quota, tokens=60)
    for _ in range(5):
        assert (await refused(limits, quota, tokens=30)).headers["x-ratelimit-remaining-requests"] == "1"
    await limits.acquire("key", quota, tokens=0)


async def test_headers_of_an_answer(limits: Limits) -> None:
    """An answer's headers say what there is, what is left, and in how many seconds all of it is there again."""
    lease = await limits.acquire("key", Quota(rpm=60, tpm=600, max_streams=5), tokens=100)
    assert lease.headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1.000s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "500",
        "x-ratelimit-reset-tokens": "10.000s",
    }


async def test_only_limits_that_there_are_have_headers(limits: Limits) -> None:
    """A limit that a key does not have is not described."""
    lease = await limits.acquire("key", Quota(tpm=600), tokens=1)
    assert {name.rsplit("-", 1)[1] for name in lease.headers} == {"tokens"}


async def test_the_longer_wait_is_told(limits: Limits, clock: Clock) -> None:
    """Where both requests and tokens are lacking, waiting as long as was said is enough for both."""
    quota = Quota(rpm=2, tpm=60)
    for _ in range(2):
        await limits.acquire("key", quota, tokens=30)
    assert (await refused(limits, quota, tokens=50)).headers["retry-after"] == "50"
    assert (await refused(limits, quota, tokens=10)).headers["retry-after"] == "30"
    clock.now += 50
    await limits.acquire("key", quota, tokens=50)


@pytest.mark.parametrize("rpm", [1, 7, 59, 60, 61, 997])
async def test_retry_after_is_enough(limits: Limits, clock: Clock, rpm: int) -> None:
    """Who waits as long as was said is let in, whatever the fractions."""
    quota = Quota(rpm=rpm)
    for _ in range(rpm):
        await limits.acquire("key", quota, tokens=1)
    for _ in range(5):
        clock.now += float((await refused(limits, quota)).headers["retry-after"])
        while True:
            try:
                await limits.acquire("key", quota, tokens=1)
            except RequestError:
                break


async def test_steps_in_time_add_up(limits: Limits, clock: Clock) -> None:
    """A second in a thousand steps brings what a second in one step does."""
    quota = Quota(rpm=60)
    for _ in range(60):
        await limits.acquire("key", quota, tokens=1)
    for _ in range(1000):
        clock.now += 0.001
        if clock.now < 1_000_000.9:
            await refused(limits, quota)
    await limits.acquire("key", quota, tokens=1)


async def test_a_changed_limit_keeps_the_share(limits: Limits) -> None:
    """A key whose limit is changed has the same part of the new one left as of the old."""
    await limits.acquire("key", Quota(rpm=100, tpm=1000), tokens=750)
    lease = await limits.acquire("key", Quota(rpm=10, tpm=100), tokens=5)
    assert lease.headers["x-ratelimit-limit-tokens"] == "100"
    assert lease.headers["x-ratelimit-remaining-tokens"] == "20"
    assert lease.headers["x-ratelimit-remaining-requests"] == "8"


async def test_a_limit_that_is_new(limits: Limits) -> None:
    """A key that is given a limit begins with all of it: what it took before was under none."""
    before = await limits.acquire("key", Quota(), tokens=500)
    lease = await limits.acquire("key", Quota(tpm=100), tokens=10)
    assert lease.headers["x-ratelimit-remaining-tokens"] == "90"
    await before.settle(700)
    assert await remaining(limits, Quota(tpm=100)) == 90


async def test_a_limit_that_is_gone(limits: Limits) -> None:
    """A key whose limit is taken away is refused no more, and its older leases end in peace."""
    before = await limits.acquire("key", Quota(rpm=1, tpm=10, max_streams=1), tokens=10)
    after = await limits.acquire("key", Quota(), tokens=10**6)
    assert after.headers == {}
    await before.settle(100)
    await after.settle(10**6)


async def test_fewer_streams_than_run(limits: Limits) -> None:
    """Streams that run go on when fewer are allowed; a new one waits until there are few enough."""
    first, second = [await limits.acquire("key", Quota(max_streams=5), tokens=1) for _ in range(2)]
    fewer = Quota(max_streams=1)
    await first.settle(1)
    await refused(limits, fewer)
    await second.settle(1)
    await limits.acquire("key", fewer, tokens=1)


async def test_many_at_once(limits: Limits) -> None:
    """Of a hundred requests at once exactly as many pass as may."""
    quota = Quota(max_streams=10)
    results = await asyncio.gather(
        *(limits.acquire("key", quota, tokens=1) for _ in range(100)), return_exceptions=True
    )
    assert sum(isinstance(result, Lease) for result in results) == 10
    assert sum(isinstance(result, RequestError) for result in results) == 90
