"""What a key has left is what it took less what came back, in any order of requests, ends and waits."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from itertools import count
from typing import ClassVar, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.contracts.limiting import IMPLEMENTATIONS, Clock, Create, creating, refused

from tailrace.limits import Lease, Quota

RPM: Final = 12
TPM: Final = 240
STREAMS: Final = 4
QUOTA: Final = Quota(rpm=RPM, tpm=TPM, max_streams=STREAMS)
MOMENT: Final = 1e-7
"""What rounding may be off by; no step in time brings less."""


class LimitsMachine(RuleBasedStateMachine):
    """One key's requests, ends and waits in any order, beside a plain reckoning of what it must have left."""

    leases: Bundle[tuple[Lease, int]] = Bundle("leases")

    create: ClassVar[Create]
    loop: ClassVar[asyncio.AbstractEventLoop]
    numbers: ClassVar[count[int]] = count()

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.key = f"key_{next(self.numbers)}"
        self.limits = type(self).create(self.clock)
        self.loop.run_until_complete(self.limits.open())
        self.requests = float(RPM)
        self.tokens = float(TPM)
        self.streams = 0

    def teardown(self) -> None:
        self.loop.run_until_complete(self.limits.close())

    @rule(target=leases, tokens=st.integers(0, 2 * TPM))
    def acquire(self, tokens: int) -> tuple[Lease, int] | MultipleResults[tuple[Lease, int]]:
        """A request passes if and only if there is a stream, a request and the tokens, or a full bucket."""
        may = self.streams < STREAMS and self.requests >= 1 - MOMENT and self.tokens >= min(tokens, TPM) - MOMENT
        acquired = self.loop.run_until_complete(self.limits.acquire(self.key, QUOTA, tokens=tokens)) if may else None
        if acquired is None:
            self.refuse(tokens)
            return multiple()
        self.streams += 1
        self.requests -= 1
        self.tokens -= tokens
        self.check(acquired.headers)
        return acquired, tokens

    def refuse(self, tokens: int) -> None:
        """A request that may not pass is told when to come back."""
        refusal = self.loop.run_until_complete(refused(self.limits, QUOTA, tokens=tokens, key=self.key))
        assert int(refusal.headers["retry-after"]) >= 1
        self.check(refusal.headers)

    @rule(lease=consumes(leases), truth=st.integers(0, 4 * TPM))
    def settle(self, lease: tuple[Lease, int], truth: int) -> None:
        """The answer ends."""
        self.loop.run_until_complete(lease[0].settle(truth))
        self.streams -= 1
        self.tokens = min(float(TPM), self.tokens + lease[1] - truth)

    @rule(lease=consumes(leases))
    def cancel(self, lease: tuple[Lease, int]) -> None:
        """The request comes to nothing."""
        self.loop.run_until_complete(lease[0].cancel())
        self.streams -= 1
        self.requests = min(float(RPM), self.requests + 1)
        self.tokens = min(float(TPM), self.tokens + lease[1])

    @rule(seconds=st.one_of(st.integers(1, 90), st.floats(0.001, 5.0)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds
        self.requests = min(float(RPM), self.requests + seconds * RPM / 60)
        self.tokens = min(float(TPM), self.tokens + seconds * TPM / 60)

    @rule()
    def someone_else_asks(self) -> None:
        """Another key's request, at which a keeper may tidy up."""
        lease = self.loop.run_until_complete(self.limits.acquire("another", Quota(), tokens=1))
        self.loop.run_until_complete(lease.cancel())

    @invariant()
    def never_too_many_streams(self) -> None:
        """There are never more streams than may be."""
        assert 0 <= self.streams <= STREAMS

    def check(self, headers: dict[str, str]) -> None:
        """The headers agree with the reckoning, and no level is above its limit."""
        for kind, level, limit in (("requests", self.requests, RPM), ("tokens", self.tokens, TPM)):
            left = int(headers[f"x-ratelimit-remaining-{kind}"])
            assert left <= limit
            assert abs(left - max(0.0, level)) < 1 + 1e-3
            reset = float(headers[f"x-ratelimit-reset-{kind}"].removesuffix("s"))
            assert abs(reset - (limit - level) * 60 / limit) < 0.01


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_any_order(name: str) -> None:
    """No order of requests, ends and waits loses or makes a request, a token or a stream's place."""
    with asyncio.Runner() as runner, ExitStack() as stack:
        loop = runner.get_loop()
        create = loop.run_until_complete((made := creating(name)).__aenter__())
        stack.callback(lambda: loop.run_until_complete(made.__aexit__(None, None, None)))
        machine = type(name, (LimitsMachine,), {"create": staticmethod(create), "loop": loop})
        run_state_machine_as_test(machine, settings=settings(max_examples=100, stateful_step_count=40, deadline=None))
