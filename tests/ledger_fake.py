"""A ledger in memory, for tests of what stands on one: keys for all workers that share it, rows that tests put in.

It can be down, and it can be held up; it counts its look-ups. What a test does not need raises NotImplementedError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec

from tailrace.errors import StoreError
from tailrace.ledger import (
    Budget,
    Count,
    Grouping,
    Joined,
    Key,
    Latency,
    Ledger,
    Opened,
    Opening,
    Page,
    Parcel,
    Pico,
    Point,
    Row,
    Scope,
    Settlement,
    Spending,
    Split,
    Step,
    Total,
    Turn,
)


class FakeLedger(Ledger):
    """`down`: nothing answers. `lookups`: the ids that were asked for. `passage`: a look-up answers while it is set."""

    def __init__(self) -> None:
        self.down = False
        self.lookups: list[str] = []
        self.passage = asyncio.Event()
        self.passage.set()
        self.kept_rows: list[Row] = []
        self.kept_totals: list[Total] = []
        self.kept_points: list[Point] = []
        self.kept_latencies: list[Latency] = []
        self.kept_spending: list[Spending] = []
        self.asked: list[tuple[Scope, Grouping, float]] = []
        self.charted: list[tuple[Step, Split, float]] = []
        self._keys: dict[str, tuple[Key, bytes]] = {}
        self._version = 0

    async def open(self) -> None:
        self._answer()

    async def close(self) -> None:
        pass

    # Keys

    async def add_key(self, key: Key, secret_hash: bytes) -> None:
        self._answer()
        self._keys[key.id] = (key, secret_hash)
        self._version += 1

    async def change_key(self, key: Key) -> bool:
        self._answer()
        if key.id not in self._keys:
            return False
        before, secret_hash = self._keys[key.id]
        revoked_at = before.revoked_at if before.revoked_at is not None else key.revoked_at
        self._keys[key.id] = (msgspec.structs.replace(key, revoked_at=revoked_at), secret_hash)
        self._version += 1
        return True

    async def find_key(self, key_id: str) -> tuple[Key, bytes] | None:
        self._answer()
        self.lookups.append(key_id)
        found = self._keys.get(key_id)
        await self.passage.wait()
        return found

    async def keys(self) -> list[Key]:
        self._answer()
        return [key for key, _ in self._keys.values()]

    async def key_version(self) -> int:
        self._answer()
        return self._version

    async def signing_secret(self) -> bytes:
        self._answer()
        return b"s" * 32

    # Usage

    async def rows(self, scope: Scope, *, limit: int, cursor: str | None = None, running: bool = False) -> Page:
        self._answer()
        found = [row for row in self.kept_rows if _is_within(row.scope, scope)]
        if running:
            found = [row for row in found if row.status == "running"]
        start = int(cursor or 0)
        more = str(start + limit) if len(found) > start + limit else None
        return Page(items=tuple(found[start : start + limit]), next_cursor=more)

    async def row(self, generation_id: str) -> Row | None:
        self._answer()
        return next((row for row in self.kept_rows if row.id == generation_id), None)

    async def totals(self, scope: Scope, *, by: Grouping, since: float) -> list[Total]:
        self._answer()
        self.asked.append((scope, by, since))
        return self.kept_totals

    async def points(self, *, step: Step, split: Split, since: float) -> list[Point]:
        self._answer()
        self.charted.append((step, split, since))
        return self.kept_points

    async def latencies(self, *, since: float) -> list[Latency]:
        self._answer()
        return self.kept_latencies

    async def spending(self) -> list[Spending]:
        self._answer()
        return self.kept_spending

    # What no test has needed yet

    async def begin(self, opening: Opening) -> Opened | Joined:
        _refuse()

    async def find_joined(self, scope: Scope, idempotency_key: str, body_hash: str) -> Joined | None:
        _refuse()

    def checkpoint(self, counts: Mapping[str, Count]) -> None:
        _refuse()

    async def settle(self, settlement: Settlement, *, patient: bool = False) -> bool:
        _refuse()

    async def sweep(self) -> list[str]:
        _refuse()

    async def lost(self) -> list[str]:
        _refuse()

    async def inherit(self, generation_id: str) -> bool:
        raise NotImplementedError

    def forfeit(self, generation_id: str) -> None:
        raise NotImplementedError

    async def spent(self, key_id: str, budget: Budget) -> Pico:
        _refuse()

    async def history(self, scope: Scope, session_id: str) -> list[Turn]:
        _refuse()

    async def sessions(self, scope: Scope, *, limit: int, cursor: str | None = None) -> Page:
        _refuse()

    async def delete_session(self, scope: Scope, session_id: str) -> bool:
        _refuse()

    async def renew_sessions(self, scope: Scope, session_ids: Sequence[str]) -> None:
        _refuse()

    async def due_parcels(self, *, limit: int) -> Sequence[Parcel]:
        _refuse()

    async def parcel_sent(self, generation_id: str) -> None:
        _refuse()

    async def parcel_failed(self, generation_id: str, *, retry_at: float, error: str, doubtful: bool) -> None:
        _refuse()

    async def parcel_given_up(self, generation_id: str, *, error: str) -> None:
        _refuse()

    def _answer(self) -> None:
        if self.down:
            raise StoreError("the fake database is down")


def _is_within(row: Scope, scope: Scope) -> bool:
    return scope.key_id in (None, row.key_id) and scope.user in (None, row.user)


def _refuse() -> NoReturn:
    raise NotImplementedError("the fake ledger does not do this")
