"""The contract of a billing service: it is told of one parcel at a time, and what came of it has three names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import msgspec

from tailrace.ledger.base import Parcel


class _Value(msgspec.Struct, frozen=True):
    pass


class Accepted(_Value, frozen=True, kw_only=True):
    """The service has it. `before`: it had it already, from an attempt whose answer was lost."""

    before: bool = False


class Refused(_Value, frozen=True, kw_only=True):
    """The service will never take this one, and says why."""

    reason: str


class Deferred(_Value, frozen=True, kw_only=True):
    """Not now. `doubtful`: it may have been taken all the same. `retry_after_s` is what the service asked for."""

    reason: str
    doubtful: bool
    retry_after_s: float | None = None


Outcome: TypeAlias = Accepted | Refused | Deferred


class Sender(ABC):
    """A way to the billing service.

    The service must tell parcels apart by their `generation_id` for 24 hours at least, so that telling it again does
    no harm. No two calls for the same customer and meter are under way at a time. No secret is in any reason.
    """

    @abstractmethod
    async def send(self, parcel: Parcel) -> Outcome:
        """Tell the service, within half a minute. Raises nothing but what a bug raises."""

    @abstractmethod
    async def close(self) -> None:
        """Let the connections go."""
