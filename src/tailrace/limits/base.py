"""The contract of what keeps limits: who takes of them, who is refused, and what comes back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

OnCheck: TypeAlias = Callable[[Literal["redis", "memory"], Literal["passed", "refused"]], None]
"""Is told of each check that was to be shared: by whose counts it was made, and how it came out."""


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
    """Counts for all keys, in this process or shared by many.

    `acquire` and leases are for the time between `open` and `close`; a lease that ends later does no harm.
    """

    @abstractmethod
    async def open(self) -> None:
        """Get ready. Never fails: counts that can't be shared are this process's own until they can."""

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
