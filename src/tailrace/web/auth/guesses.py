"""Holds up who tries keys: each address has some wrong ones at once, and then one a second."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakValueDictionary

from tailrace.errors import RequestError


class Guesses:
    """A bucket of guesses for each address, all of an IPv6 network of 64 bits together.

    At most `addresses` buckets are kept; the one that was not asked for longest is forgotten first.
    """

    def __init__(
        self,
        *,
        at_once: int = 10,
        per_second: float = 1.0,
        addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._at_once = at_once
        self._per_second = per_second
        self._addresses = addresses
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def turn(self, address: str) -> asyncio.Semaphore:
        """Hold it from `take` on: who comes with a right key among many waits for the others, and is not refused."""
        bucket = _bucket(address)
        turn = self._turns.get(bucket)
        if turn is None:
            turn = self._turns[bucket] = asyncio.Semaphore(self._at_once)
        return turn

    def take(self, address: str) -> None:
        """Take one guess before it is looked at. Raises RequestError 429 where none is left."""
        left = self._left(address)
        if left < 1:
            wait = math.ceil((1 - left) / self._per_second)
            raise RequestError(
                429,
                "too_many_wrong_keys",
                f"too many wrong keys came from this address; try again in {wait} s",
                headers={"retry-after": str(wait)},
            )
        self._keep(address, left - 1)

    def give_back(self, address: str) -> None:
        """The guess was none."""
        self._keep(address, self._left(address) + 1)

    def _left(self, address: str) -> float:
        left, when = self._buckets.get(_bucket(address), (float(self._at_once), 0.0))
        return min(left + (self._clock() - when) * self._per_second, self._at_once)

    def _keep(self, address: str, left: float) -> None:
        bucket = _bucket(address)
        self._buckets.pop(bucket, None)
        if left < self._at_once:
            self._buckets[bucket] = (left, self._clock())
        if len(self._buckets) > self._addresses:
            self._buckets.popitem(last=False)


def _bucket(address: str) -> str:
    """An IPv6 network of 64 bits is one customer's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
