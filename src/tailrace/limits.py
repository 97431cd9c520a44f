"""How much of everything a key may have at once: requests and tokens a minute, and streams at a time.

Requests and tokens flow from buckets that hold a minute's worth and refill continuously. A request reserves an estimate
of its tokens and settles with the truth when its answer has ended, so that a bucket may be in debt for a while.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import msgspec

from tailrace.errors import RequestError

Kind: TypeAlias = Literal["requests", "tokens"]

_MINUTE_S: Final = 60.0
_MOMENT_S: Final = 1e-6
"""So much too early is in time: more than what adding fractions is off by."""


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """A key's limits; None is none."""

    rpm: int | None = None
    tpm: int | None = None
    max_streams: int | None = None


class Lease(ABC):
    """What one request has taken. End it exactly once, however the request ends; a second time does nothing.

    `headers` are the `x-ratelimit-…` headers of its answer.
    """

    headers: dict[str, str]

    @abstractmethod
    async def settle(self, tokens: int) -> None:
        """The answer has ended: give the stream's place back, and put the true number of tokens in the estimate's."""

    @abstractmethod
    async def cancel(self) -> None:
        """The request came to nothing: give everything back."""


class Limits(ABC):
    """Counts for all keys, in this process or shared by many."""

    @abstractmethod
    async def acquire(self, key_id: str, quota: Quota, *, tokens: int) -> Lease:
        """Take a request, an estimate of `tokens` and a stream's place.

        Raises RequestError 429 `too_many_streams` or `rate_limited`, with the `x-ratelimit-…` headers and a
        `Retry-After` that is enough where nothing else is asked for; nothing is taken then. A request whose estimate
        is more than a minute's tokens passes when the bucket is full.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of what the counts are kept in."""


class _Bucket:
    """A minute's worth of something that refills continuously."""

    __slots__ = ("at", "level", "limit")

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self.level = float(limit)
        self.at = now

    def refill(self, limit: int, now: float) -> None:
        """Bring the level up to now; a key whose limit was changed goes on with the share it had left."""
        if limit != self.limit:
            self.level *= limit / self.limit
            self.limit = limit
        self.level = min(float(limit), self.level + max(0.0, now - self.at) * limit / _MINUTE_S)
        self.at = now

    def take(self, amount: int, now: float) -> None:
        """Take so much, into debt if need be; a negative amount gives back, up to the limit."""
        self.refill(self.limit, now)
        self.level = min(float(self.limit), self.level - amount)

    def wait(self, amount: int) -> float:
        """Seconds until so much can be taken; more than a minute's worth counts as a minute's."""
        seconds = (min(amount, self.limit) - self.level) * _MINUTE_S / self.limit
        return seconds if seconds > _MOMENT_S else 0.0

    def describe(self, kind: Kind) -> dict[str, str]:
        full_in = (self.limit - self.level) * _MINUTE_S / self.limit
        there = self.level + self.limit * _MOMENT_S / _MINUTE_S
        return {
            f"x-ratelimit-limit-{kind}": str(self.limit),
            f"x-ratelimit-remaining-{kind}": str(max(0, math.floor(there))),
            f"x-ratelimit-reset-{kind}": f"{full_in:.3f}s",
        }


class _Account:
    """What one key has taken."""

    __slots__ = ("requests", "streams", "tokens")

    def __init__(self) -> None:
        self.requests: _Bucket | None = None
        self.tokens: _Bucket | None = None
        self.streams = 0

    def refill(self, quota: Quota, now: float) -> None:
        self.requests = _refilled(self.requests, quota.rpm, now)
        self.tokens = _refilled(self.tokens, quota.tpm, now)

    def is_fresh(self, now: float) -> bool:
        """Whether it is as if this key had never been heard of: nothing runs, nothing is missing, nothing is owed."""
        buckets = [bucket for bucket in (self.requests, self.tokens) if bucket is not None]
        for bucket in buckets:
            bucket.refill(bucket.limit, now)
        return not self.streams and all(bucket.level >= bucket.limit for bucket in buckets)

    def describe(self) -> dict[str, str]:
        requests = self.requests.describe("requests") if self.requests else {}
        return requests | (self.tokens.describe("tokens") if self.tokens else {})


def _refilled(bucket: _Bucket | None, limit: int | None, now: float) -> _Bucket | None:
    if limit is None:
        return None
    if bucket is None:
        return _Bucket(limit, now)
    bucket.refill(limit, now)
    return bucket


class _MemoryLease(Lease):
    """Takes from the account's buckets of now, and gives back to the same: a changed quota may bring others."""

    def __init__(self, account: _Account, tokens: int, clock: Callable[[], float]) -> None:
        self._account = account
        self._requests_bucket = account.requests
        self._tokens_bucket = account.tokens
        self._tokens = tokens
        self._clock = clock
        self._open = True
        account.streams += 1
        self._take(requests=1, tokens=tokens)
        self.headers = account.describe()

    async def settle(self, tokens: int) -> None:
        self._end(requests=0, tokens=tokens - self._tokens)

    async def cancel(self) -> None:
        self._end(requests=-1, tokens=-self._tokens)

    def _end(self, *, requests: int, tokens: int) -> None:
        if not self._open:
            return
        self._open = False
        self._account.streams -= 1
        self._take(requests=requests, tokens=tokens)

    def _take(self, *, requests: int, tokens: int) -> None:
        now = self._clock()
        if self._requests_bucket is not None:
            self._requests_bucket.take(requests, now)
        if self._tokens_bucket is not None:
            self._tokens_bucket.take(tokens, now)


class MemoryLimits(Limits):
    """Counts in this process's memory. A key that owes nothing any more and has no stream is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._swept_at = clock()

    async def acquire(self, key_id: str, quota: Quota, *, tokens: int) -> Lease:
        now = self._clock()
        self._forget(now)
        account = self._accounts.setdefault(key_id, _Account())
        account.refill(quota, now)
        self._check_streams(account, quota)
        _check_rates(account, tokens)
        return _MemoryLease(account, tokens, self._clock)

    async def close(self) -> None:
        self._accounts.clear()

    def _check_streams(self, account: _Account, quota: Quota) -> None:
        if quota.max_streams is not None and account.streams >= quota.max_streams:
            raise RequestError(
                429,
                "too_many_streams",
                f"this key may have {quota.max_streams} streams at a time, and has them",
                headers={"retry-after": "1", **account.describe()},
            )

    def _forget(self, now: float) -> None:
        if now - self._swept_at < _MINUTE_S:
            return
        self._swept_at = now
        fresh = [key_id for key_id, account in self._accounts.items() if account.is_fresh(now)]
        for key_id in fresh:
            del self._accounts[key_id]


def _check_rates(account: _Account, tokens: int) -> None:
    """Refuse for the bucket that takes longest to have enough, so that it need not be done twice."""
    asked: list[tuple[Kind, _Bucket | None, int]] = [
        ("requests", account.requests, 1),
        ("tokens", account.tokens, tokens),
    ]
    waits = [(bucket.wait(amount), kind, bucket.limit) for kind, bucket, amount in asked if bucket is not None]
    wait, kind, limit = max(waits, default=(0.0, "", 0))
    if wait <= 0:
        return
    seconds = math.ceil(wait)
    raise RequestError(
        429,
        "rate_limited",
        f"this key may have {limit} {kind} a minute; try again in {seconds} s",
        headers={"retry-after": str(seconds), **account.describe()},
    )
