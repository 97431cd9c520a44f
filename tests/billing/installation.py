"""An installation that bills: a ledger on disk that outlives its processes, a Stripe, a clock turned by hand."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from tests.stripe_server import StripeServer

from tailrace.billing import BillingWorker, StripeSender, bill_for
from tailrace.ledger import Ledger, Opening, Scope, Settlement
from tailrace.ledger.locks import FileOwners
from tailrace.ledger.spool import Spool
from tailrace.ledger.sql import SqlLedger
from tailrace.ledger.sqlite import SqliteDatabase
from tailrace.metrics import Metrics
from tailrace.settings import Secret

START: Final = 1_800_000_000.0
MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
METER: Final = "llm_tokens"


class Clock:
    """Time that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Turn it."""
        self.now += seconds


class Installation:
    """Processes come and go with `process`; the folder and the Stripe stay. `owed` is what was settled, by id."""

    def __init__(self, folder: Path, stripe: StripeServer, clock: Clock) -> None:
        self.stripe = stripe
        self.clock = clock
        self.owed: dict[str, int] = {}
        self.metrics = Metrics()
        self._path = folder / "tailrace.db"
        self._names = itertools.count(1)

    @asynccontextmanager
    async def process(self, *, timeout_s: float = 5.0) -> AsyncIterator[tuple[Ledger, BillingWorker]]:
        """One process of the installation, from its start to its end: its ledger and its worker, not yet started."""
        ledger = SqlLedger(
            SqliteDatabase(self._path, shared=True),
            owners=FileOwners(self._path, shared=True),
            spool=Spool(self._path.with_name("spool"), f"process{next(self._names)}"),
            clock=self.clock,
        )
        await ledger.open()
        sender = StripeSender(Secret(self.stripe.key), base=self.stripe.url, timeout_s=timeout_s)
        worker = BillingWorker(ledger, sender, self.metrics, clock=self.clock, poll_s=0.01)
        try:
            yield ledger, worker
        finally:
            await worker.stop()
            await ledger.close()

    async def settle(self, ledger: Ledger, customer: str | None = "cus_a", tokens: int = 7) -> str:
        """Settle a generation of so many tokens for this customer."""
        generation_id = f"gen_{len(self.owed) + 1}"
        opening = Opening(
            id=generation_id,
            created_at=self.clock(),
            scope=Scope(key_id="key_1"),
            provider="simulated",
            model="simulated",
            input_tokens=1,
        )
        await ledger.begin(opening)
        await ledger.settle(_settlement(generation_id, customer, tokens, self.clock()))
        self.owed[generation_id] = tokens
        return generation_id

    def outbox(self) -> dict[str, tuple[str, str | None]]:
        """Each bill's state and error, as the file holds them."""
        engine = sa.create_engine(f"sqlite:///{self._path}")
        try:
            with engine.connect() as connection:
                rows = connection.execute(sa.text("SELECT generation_id, state, error FROM outbox"))
                return {row[0]: (row[1], row[2]) for row in rows}
        finally:
            engine.dispose()

    def states(self) -> set[str]:
        """The states that there are in the outbox."""
        return {state for state, _ in self.outbox().values()}


def _settlement(generation_id: str, customer: str | None, tokens: int, now: float) -> Settlement:
    return Settlement(
        id=generation_id,
        status="finished",
        reason="stop",
        input_tokens=1,
        output_tokens=tokens - 1,
        source="reported",
        delivered_tokens=tokens - 1,
        duration_ms=1.0,
        settled_at=now,
        bill=bill_for(customer, METER, input_tokens=1, output_tokens=tokens - 1),
    )
