"""Limits that are counted in one process's memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from tailrace.limits.base import Lease, Limits, Quota
from tailrace.limits.levels import MINUTE_S, Level, describe, rate_limited, too_many_streams


class _Bucket:
    """A minute's worth of something that refills continuously."""

    __slots__ = ("at", "left", "limit")

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self.left = float(limit)
        self.at = now

    def refill(self, limit: int, now: float) -> None:
        """Bring the level up to now; a key whose limit was changed goes on with the share it had left."""
        if limit != self.limit:
            self.left *= limit / self.limit
            self.limit = limit
        self.left = min(float(limit), self.left + max(0.0, now - self.at) * limit / MINUTE_S)
        self.at = now

    def take(self, amount: int) -> None:
        """Take so much of the level as it is, into debt if need be; a negative amount gives back, up to the limit."""
        self.left = min(float(self.limit), self.left - amount)


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
        return not self.streams and all(bucket.left >= bucket.limit for bucket in buckets)

    def levels(self) -> list[Level]:
        levels = []
        if self.requests is not None:
            levels.append(Level("requests", self.requests.limit, self.requests.left))
        if self.tokens is not None:
            levels.append(Level("tokens", self.tokens.limit, self.tokens.left))
        return levels


def _refilled(bucket: _Bucket | None, limit: int | None, now: float) -> _Bucket | None:
    if limit is None:
        return None
    if bucket is None:
        return _Bucket(limit, now)
    bucket.refill(limit, now)
    return bucket


class _MemoryLease(Lease):
    """Takes from an account's buckets, which were just refilled; gives back to the same, though it may have others."""

    def __init__(self, account: _Account, tokens: int, clock: Callable[[], float]) -> None:
        self._account = account
        self._requests_bucket = account.requests
        self._tokens_bucket = account.tokens
        self._tokens = tokens
        self._clock = clock
        self._open = True
        account.streams += 1
        self._take(1, tokens)
        self.headers = describe(account.levels())

    async def settle(self, tokens: int) -> None:
        self._end(0, tokens - self._tokens)

    async def cancel(self) -> None:
        self._end(-1, -self._tokens)

    def _end(self, requests: int, tokens: int) -> None:
        if not self._open:
            return
        self._open = False
        self._account.streams -= 1
        now = self._clock()
        for bucket in (self._requests_bucket, self._tokens_bucket):
            if bucket is not None:
                bucket.refill(bucket.limit, now)
        self._take(requests, tokens)

    def _take(self, requests: int, tokens: int) -> None:
        if self._requests_bucket is not None:
            self._requests_bucket.take(requests)
        if self._tokens_bucket is not None:
            self._tokens_bucket.take(tokens)


class MemoryLimits(Limits):
    """Counts in this process's memory. A key that owes nothing any more and has no stream is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._swept_at = clock()

    async def open(self) -> None:
        """There is nothing to get ready."""

    async def acquire(self, key_id: str, quota: Quota, *, tokens: int) -> Lease:
        account = self._refilled(key_id, quota)
        levels = account.levels()
        if quota.max_streams is not None and account.streams >= quota.max_streams:
            raise too_many_streams(quota.max_streams, levels)
        if (refusal := rate_limited(levels, tokens)) is not None:
            raise refusal
        return _MemoryLease(account, tokens, self._clock)

    def take(self, key_id: str, quota: Quota, *, tokens: int) -> Lease:
        """What `acquire` takes, whether there is enough or not."""
        return _MemoryLease(self._refilled(key_id, quota), tokens, self._clock)

    async def close(self) -> None:
        self._accounts.clear()

    def streams(self, key_id: str) -> int:
        """How many streams a key has here."""
        account = self._accounts.get(key_id)
        return 0 if account is None else account.streams

    def streaming(self) -> list[str]:
        """The keys that have streams here."""
        return [key_id for key_id, account in self._accounts.items() if account.streams]

    def _refilled(self, key_id: str, quota: Quota) -> _Account:
        now = self._clock()
        self._forget(now)
        account = self._accounts.get(key_id)
        if account is None:
            account = self._accounts[key_id] = _Account()
        account.refill(quota, now)
        return account

    def _forget(self, now: float) -> None:
        if now - self._swept_at < MINUTE_S:
            return
        self._swept_at = now
        fresh = [key_id for key_id, account in self._accounts.items() if account.is_fresh(now)]
        for key_id in fresh:
            del self._accounts[key_id]
