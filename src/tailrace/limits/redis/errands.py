"""What is asked of Redis about one key: each is written when it is sent, and takes the reply at once."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from tailrace.errors import RequestError, StoreError
from tailrace.limits.base import Lease, Quota
from tailrace.limits.levels import Level, describe, rate_limited, too_many_streams
from tailrace.limits.memory import MemoryLimits
from tailrace.limits.redis.script import PASSED, TAKE, TOO_MANY
from tailrace.streamlog.redis.line import Command, call

Reply: TypeAlias = tuple[int, bytes, bytes]

NOTHING: Final = Quota()


class Debt(msgspec.Struct, frozen=True, kw_only=True):
    """What Redis is still to be told of a key: so much more was taken, or less where it is negative."""

    quota: Quota = NOTHING
    requests: int = 0
    tokens: int = 0

    def add(self, other: Debt) -> Debt:
        """Both; the later quota holds."""
        requests, tokens = self.requests + other.requests, self.tokens + other.tokens
        return Debt(quota=other.quota, requests=requests, tokens=tokens)


def charge(quota: Quota, *, requests: int, tokens: int) -> Debt:
    """A debt of those kinds that the quota limits: it is no other's business."""
    return Debt(
        quota=quota,
        requests=0 if quota.rpm is None else requests,
        tokens=0 if quota.tpm is None else tokens,
    )


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a worker, which counts its own too in `near`. `clock` None is Redis' own."""

    worker: str
    near: MemoryLimits
    lease_s: float
    clock: Callable[[], float] | None = None


class Errand(ABC):
    """`done` is resolved by the reply, or fails with StoreError where there is none."""

    done: asyncio.Future[Any]

    def __init__(self, desk: Desk, key_id: str) -> None:
        self.key_id = key_id
        self.done = asyncio.get_running_loop().create_future()
        self._desk = desk

    @abstractmethod
    def write(self, *, first: bool) -> Command:
        """The command; the `first` about a key in a group says how many streams the key has here."""

    @abstractmethod
    def take(self, reply: Reply) -> Debt | None:
        """Take the reply; what has to be given back since nobody waits for it any more."""

    @abstractmethod
    def lose(self, error: StoreError) -> Debt:
        """There is no reply, and nobody knows what was done of it; what is still to be told."""

    def _write(self, debt: Debt, *, first: bool, check: bool) -> Command:
        desk, quota = self._desk, debt.quota
        own = desk.near.streams(self.key_id) if first else ""
        return call(
            TAKE,
            f"tailrace:limits:{self.key_id}".encode(),
            "" if desk.clock is None else repr(desk.clock()),
            desk.lease_s,
            desk.worker,
            own,
            "1" if check else "",
            *("" if limit is None else limit for limit in (quota.rpm, quota.tpm, quota.max_streams)),
            debt.requests,
            debt.tokens,
        )


class Taking(Errand):
    """A request that wants in. `done` is the lease here, and the headers, or fails with RequestError."""

    done: asyncio.Future[tuple[Lease, dict[str, str]]]

    def __init__(self, desk: Desk, key_id: str, quota: Quota, tokens: int) -> None:
        super().__init__(desk, key_id)
        self._quota = quota
        self._tokens = tokens

    def write(self, *, first: bool) -> Command:
        asked = Debt(quota=self._quota, requests=1, tokens=self._tokens)
        return self._write(asked, first=first, check=True)

    def take(self, reply: Reply) -> Debt | None:
        levels = _read_levels(self._quota, reply)
        refusal = self._refusal(reply[0], levels)
        if self.done.done():
            return None if refusal else charge(self._quota, requests=-1, tokens=-self._tokens)
        if refusal is not None:
            self.done.set_exception(refusal)
            return None
        # Before the next group is written: it says how many streams there are here
        lease = self._desk.near.take(self.key_id, self._quota, tokens=self._tokens)
        self.done.set_result((lease, describe(levels)))
        return None

    def lose(self, error: StoreError) -> Debt:
        if not self.done.done():
            self.done.set_exception(error)
        return Debt(quota=self._quota)

    def _refusal(self, verdict: int, levels: list[Level]) -> RequestError | None:
        if verdict == PASSED:
            return None
        if verdict == TOO_MANY:
            return too_many_streams(self._quota.max_streams or 0, levels)
        return rate_limited(levels, self._tokens)


class Telling(Errand):
    """How many streams a key has here, and what more or less it took."""

    done: asyncio.Future[None]

    def __init__(self, desk: Desk, key_id: str, debt: Debt) -> None:
        super().__init__(desk, key_id)
        self._debt = debt

    def write(self, *, first: bool) -> Command:
        return self._write(self._debt, first=first, check=False)

    def take(self, reply: Reply) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def lose(self, error: StoreError) -> Debt:
        """Told again: better twice, where only the reply was lost, than never."""
        if not self.done.done():
            self.done.set_result(None)
        return self._debt


def _read_levels(quota: Quota, reply: Reply) -> list[Level]:
    levels = []
    if quota.rpm is not None:
        levels.append(Level("requests", quota.rpm, float(reply[1])))
    if quota.tpm is not None:
        levels.append(Level("tokens", quota.tpm, float(reply[2])))
    return levels
