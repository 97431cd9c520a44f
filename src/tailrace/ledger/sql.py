"""The ledger in a SQL database, whichever it is: gives it work, and remembers what this process runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import structlog

from tailrace.errors import SettingsError, StoreError
from tailrace.ledger import charts, checkpoints, keys, openings, outbox, sessions, settlements, spend, usage
from tailrace.ledger.backlog import Backlog
from tailrace.ledger.base import (
    Budget,
    Count,
    Joined,
    Key,
    Ledger,
    Opened,
    Opening,
    Page,
    Parcel,
    Pico,
    Row,
    Scope,
    Settlement,
    Turn,
)
from tailrace.ledger.cursors import read_cursor
from tailrace.ledger.database import Database
from tailrace.ledger.expiry import Expiry, renew
from tailrace.ledger.locks import Owners, new_owner
from tailrace.ledger.reports import Grouping, Latency, Point, Spending, Split, Step, Total
from tailrace.ledger.spool import Spool
from tailrace.ledger.texts import check_storable, is_storable

_log = structlog.get_logger(__name__)


class _Held(msgspec.Struct, frozen=True):
    """A row that this process runs: who owns it, and how it was opened."""

    owner: str
    opening: Opening


class SqlLedger(Ledger):
    """The ledger of one process. Without `owners` it does not serve: it opens no generation and sweeps nothing."""

    def __init__(
        self,
        database: Database,
        *,
        owners: Owners | None,
        spool: Spool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # For its whole life
        self._database = database
        self._owners = owners
        self._clock = clock
        self._lessee = new_owner()
        self._backlog = Backlog(database, spool)
        self._expiry = Expiry(database, clock=clock)
        # As it goes: the rows that this process runs, and the owners of those that it is about to
        self._running: dict[str, _Held] = {}
        self._opening: dict[str, str] = {}
        self._forfeited: set[str] = set()
        self._checkpoints = checkpoints.Checkpoints(database, find_owner=self._find_owner, clock=clock)
        self._secret: bytes | None = None

    # Life

    async def open(self) -> None:
        await self._database.open()
        try:
            if self._owners is not None:
                await self._owners.take()
                await self.sweep()
                # Written here for the first time, so that a database that can't be written is refused at once
                await self.signing_secret()
        except StoreError as error:
            await self.close()
            raise SettingsError(str(error), where="TAILRACE_DATABASE_URL") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._backlog.close()
        with contextlib.suppress(StoreError):
            for name in self._names() - self._owners_of_running():
                await self._database.write(checkpoints.drop_checkpoint, name)
        await self._database.close()
        if self._owners is not None:
            await self._owners.release()

    # Generations

    async def begin(self, opening: Opening) -> Opened | Joined:
        _check_opening(opening)
        owner = await self._serving().current()
        self._opening[opening.id] = owner
        try:
            outcome = await self._begin((opening, owner, self._clock()))
            if isinstance(outcome, Opened):
                self._running[opening.id] = _Held(owner, opening)
            return outcome
        finally:
            self._opening.pop(opening.id, None)

    async def find_joined(self, scope: Scope, idempotency_key: str, body_hash: str) -> Joined | None:
        if not is_storable(scope.user, idempotency_key):
            return None
        return await self._database.look_up(openings.find_elected, scope, idempotency_key, body_hash, self._clock())

    def checkpoint(self, counts: Mapping[str, Count]) -> None:
        self._checkpoints.note(counts)

    async def settle(self, settlement: Settlement, *, patient: bool = False) -> bool:
        held = self._running.get(settlement.id)
        if held is None:
            return False
        try:
            settled = await self._settle(settlement, held, patient=patient)
        except StoreError as error:
            self._put_off(settlement, held, error)
            await self._backlog.written()
            return True
        except asyncio.CancelledError:
            self._settle_unseen(settlement, held)
            raise
        self._running.pop(settlement.id, None)
        return settled

    async def sweep(self) -> list[str]:
        owners = self._serving()
        await self._backlog.adopt()
        await owners.renew({*self._owners_of_running(), *self._opening.values(), *self._backlog.owners})
        for owner in await self._database.look_up(checkpoints.list_owners):
            if owner not in owners.names:
                await self._take_over(owners, owner)
        swept = [id_ for name in owners.names for id_ in await self._interrupt_orphans(name)]
        await self._expiry.step()
        return swept

    async def lost(self) -> list[str]:
        ours = list(self._running)
        alive: set[str] = set()
        for name in self._owners_of_running():
            alive.update(await self._database.look_up(settlements.find_running, name))
        return [id_ for id_ in ours if id_ not in alive and id_ in self._running]

    async def inherit(self, generation_id: str) -> bool:
        owner = await self._serving().current()
        return await self._database.write(settlements.inherit, generation_id, owner, self._clock())

    def forfeit(self, generation_id: str) -> None:
        if self._running.pop(generation_id, None) is not None:
            self._forfeited.add(generation_id)

    async def spent(self, key_id: str, budget: Budget) -> Pico:
        return await self._database.look_up(spend.spent, key_id, budget.period, self._clock())

    async def rows(self, scope: Scope, *, limit: int, cursor: str | None = None, running: bool = False) -> Page:
        place = None if cursor is None else read_cursor(cursor)
        return await self._database.report(usage.list_rows, scope, limit, place, running)

    async def row(self, generation_id: str) -> Row | None:
        return await self._database.look_up(usage.find_row, generation_id) if is_storable(generation_id) else None

    async def totals(self, scope: Scope, *, by: Grouping, since: float) -> list[Total]:
        return await self._database.report(usage.list_totals, scope, by, since)

    async def points(self, *, step: Step, split: Split, since: float) -> list[Point]:
        return await self._database.report(charts.list_points, step, split, since)

    async def latencies(self, *, since: float) -> list[Latency]:
        return await self._database.report(charts.list_latencies, since)

    async def spending(self) -> list[Spending]:
        return await self._database.report(spend.list_spending, self._clock())

    # Keys

    async def add_key(self, key: Key, secret_hash: bytes) -> None:
        _check_key(key)
        if not await self._database.write(keys.add_key, key, secret_hash):
            raise ValueError(f"there is a key {key.id} already")

    async def change_key(self, key: Key) -> bool:
        _check_key(key)
        return await self._database.write(keys.change_key, key)

    async def find_key(self, key_id: str) -> tuple[Key, bytes] | None:
        if not is_storable(key_id):
            return None
        return await self._database.look_up(keys.find_key, key_id)

    async def keys(self) -> list[Key]:
        return await self._database.look_up(keys.list_keys)

    async def key_version(self) -> int:
        return await self._database.look_up(keys.key_version)

    async def signing_secret(self) -> bytes:
        if self._secret is None:
            self._secret = await self._database.write(keys.signing_secret)
        return self._secret

    # Sessions

    async def history(self, scope: Scope, session_id: str) -> list[Turn]:
        if not is_storable(scope.user, session_id):
            return []
        return await self._database.look_up(sessions.history, scope, session_id)

    async def sessions(self, scope: Scope, *, limit: int, cursor: str | None = None) -> Page:
        place = None if cursor is None else read_cursor(cursor)
        return await self._database.report(sessions.list_sessions, scope, limit, place)

    async def delete_session(self, scope: Scope, session_id: str) -> bool:
        if not is_storable(scope.user, session_id):
            return False
        return await self._database.write(sessions.delete_session, scope, session_id)

    async def renew_sessions(self, scope: Scope, session_ids: Sequence[str]) -> None:
        known = [session_id for session_id in session_ids if is_storable(scope.user, session_id)]
        await self._database.write(renew, scope, known, self._clock())

    # Outbox

    async def due_parcels(self, *, limit: int) -> Sequence[Parcel]:
        now = self._clock()
        candidates = await self._database.report(outbox.find_due, now, limit)
        if not candidates:
            return []
        return await self._database.write(outbox.lease, candidates, self._lessee, now)

    async def parcel_sent(self, generation_id: str) -> None:
        await self._database.write(outbox.mark_sent, generation_id, self._clock())

    async def parcel_failed(self, generation_id: str, *, retry_at: float, error: str, doubtful: bool) -> None:
        await self._database.write(
            outbox.mark_failed,
            generation_id,
            self._lessee,
            retry_at=retry_at,
            error=error,
            doubtful=doubtful,
            now=self._clock(),
        )

    async def parcel_given_up(self, generation_id: str, *, error: str) -> None:
        await self._database.write(outbox.mark_given_up, generation_id, error=error, now=self._clock())

    # What the rows of dead processes come to

    def _serving(self) -> Owners:
        if self._owners is None:
            raise RuntimeError("this ledger was opened without serving: it opens no generation and sweeps nothing")
        return self._owners

    def _names(self) -> frozenset[str]:
        return frozenset() if self._owners is None else self._owners.names

    async def _take_over(self, owners: Owners, dead: str) -> None:
        async with owners.claim(dead) as free:
            if free:
                await self._database.write(settlements.take_over, dead, await owners.current())

    async def _interrupt_orphans(self, name: str) -> list[str]:
        """Settle the rows of ours that nobody works on: those taken over, and those whose opening was not answered."""
        running = await self._database.look_up(settlements.find_running, name)
        known = self._running.keys() | self._opening.keys() | self._forfeited
        orphans = [id_ for id_ in running if id_ not in known and id_ not in self._backlog]
        settled = await asyncio.gather(
            *(self._database.write(settlements.interrupt, id_, name, self._clock()) for id_ in orphans)
        )
        return [id_ for id_, done in zip(orphans, settled, strict=True) if done]

    # How rows begin and end

    def _begin(self, begin: openings.Begin) -> Future[Opened | Joined]:
        if openings.is_plain(begin[0]):
            return self._database.write_batched(openings.PLAIN, begin)
        return self._database.write(openings.begin, *begin)

    def _settle(self, settlement: Settlement, held: _Held, *, patient: bool) -> Future[bool]:
        if settlements.is_plain(settlement):
            settling = (settlement, held.owner, held.opening)
            return self._database.write_batched(settlements.PLAIN, settling, patient=patient)
        return self._database.write(settlements.settle, settlement, held.owner)

    def _settle_unseen(self, settlement: Settlement, held: _Held) -> None:
        """Nobody waits for it any more: settle it once more, which does no harm, to learn what comes of it."""
        settling = self._settle(settlement, held, patient=False)
        settling.add_done_callback(partial(self._note_settled, settlement, held))

    def _note_settled(self, settlement: Settlement, held: _Held, settling: Future[bool]) -> None:
        error = settling.exception()
        if isinstance(error, StoreError):
            self._put_off(settlement, held, error)
        elif error is None:
            self._running.pop(settlement.id, None)

    def _put_off(self, settlement: Settlement, held: _Held, error: StoreError) -> None:
        """The database does not answer: let it wait on disk."""
        _log.warning("settlement_spooled", generation=settlement.id, error=str(error))
        self._backlog.add(settlement, held.owner)
        self._running.pop(settlement.id, None)

    def _find_owner(self, generation_id: str) -> str | None:
        held = self._running.get(generation_id)
        return None if held is None else held.owner

    def _owners_of_running(self) -> set[str]:
        return {held.owner for held in self._running.values()}


def _check_opening(opening: Opening) -> None:
    texts = (opening.scope.user, opening.model, opening.session_id, opening.idempotency_key, opening.after)
    if is_storable(*texts, *[turn.id for turn in opening.turns]):
        return
    check_storable(
        user=opening.scope.user,
        model=opening.model,
        session_id=opening.session_id,
        idempotency_key=opening.idempotency_key,
        after=opening.after,
        **{f"messages.{place}.id": turn.id for place, turn in enumerate(opening.turns)},
    )


def _check_key(key: Key) -> None:
    check_storable(id=key.id, name=key.name, stripe_customer=key.stripe_customer, on_disconnect=key.on_disconnect)
