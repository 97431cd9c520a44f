"""What the billing service is to be told: parcels that wait, are leased to one process at a time, and are sent once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tailrace.ledger.base import Bill, Parcel
from tailrace.ledger.database import Query, Work
from tailrace.ledger.texts import make_storable

LEASE_S: Final = 60.0

_ADD: Final = Query("""-- Put a bill into the outbox, in the transaction of its settlement.
    INSERT INTO outbox (generation_id, customer, meter, value, created_at, state, attempts, due_at, leased_until)
    VALUES (:generation_id, :customer, :meter, :value, :created_at, 'waiting', 0, :due_at, 0)
    ON CONFLICT DO NOTHING""")

_DUE: Final = Query("""-- Of each customer and meter the oldest bill that is due, where none is under way.
    SELECT generation_id FROM (
        SELECT generation_id, created_at, row_number() OVER (
            PARTITION BY customer, meter ORDER BY created_at, generation_id) AS place
        FROM outbox AS o WHERE state = 'waiting' AND due_at <= :now AND leased_until <= :now AND NOT EXISTS (
            SELECT 1 FROM outbox AS other WHERE other.customer = o.customer AND other.meter = o.meter
                AND other.state = 'waiting' AND other.leased_until > :now)) AS due
    WHERE place = 1 ORDER BY created_at, generation_id LIMIT :limit""")

_ONE_AT_A_TIME: Final = Query("""-- Let one process lease at a time.
    UPDATE versions SET number = number + 1 WHERE name = 'outbox'""")

_LEASE: Final = Query("""-- Lease a bill, unless one of its customer and meter is. A lease without a word is doubt.
    UPDATE outbox SET leased_by = :owner, leased_until = :until, doubted_since = CASE
        WHEN leased_until > 0 THEN coalesce(doubted_since, leased_until - :lease) ELSE doubted_since END
    WHERE generation_id = :generation_id AND state = 'waiting' AND due_at <= :now AND NOT EXISTS (
        SELECT 1 FROM outbox AS other WHERE other.customer = outbox.customer AND other.meter = outbox.meter
            AND other.state = 'waiting' AND other.leased_until > :now)
    RETURNING generation_id, customer, meter, value, created_at, attempts, doubted_since""")

_SENT: Final = Query("""-- The billing service has it.
    UPDATE outbox SET state = 'sent', attempts = attempts + 1, ended_at = :now, leased_until = 0, error = NULL
    WHERE generation_id = :generation_id""")

_FAILED: Final = Query("""-- Send it later; the lease ends.
    UPDATE outbox SET attempts = attempts + 1, due_at = :due_at, leased_until = 0, error = :error,
        doubted_since = CASE WHEN :doubtful THEN coalesce(doubted_since, :now) ELSE doubted_since END
    WHERE generation_id = :generation_id AND state = 'waiting' AND leased_by = :owner""")

_GIVEN_UP: Final = Query("""-- Keep it, and never send it again.
    UPDATE outbox SET state = 'given_up', attempts = attempts + 1, ended_at = :now, leased_until = 0, error = :error
    WHERE generation_id = :generation_id AND state = 'waiting'""")


def bill_for(
    customer: str | None, meter: str | None, *, input_tokens: int | None, output_tokens: int | None
) -> Bill | None:
    """The bill of one settled row; None where its key has no customer, billing is off, or nothing was used."""
    value = (input_tokens or 0) + (output_tokens or 0)
    if customer is None or meter is None or value == 0:
        return None
    return Bill(customer=customer, meter=meter, value=value)


def add_parcel(generation_id: str, bill: Bill, now: float) -> Work[None]:
    """Put a bill into the outbox."""
    yield (
        _ADD,
        {
            "generation_id": generation_id,
            "customer": bill.customer,
            "meter": bill.meter,
            "value": bill.value,
            "created_at": now,
            "due_at": now,
        },
    )


def find_due(now: float, limit: int) -> Work[list[str]]:
    """The bills that could be leased."""
    found = yield _DUE, {"now": now, "limit": limit}
    return [row[0] for row in found]


def lease(candidates: Sequence[str], owner: str, now: float) -> Work[list[Parcel]]:
    """Lease those of the candidates that still can be."""
    yield _ONE_AT_A_TIME, {}
    leased: list[Parcel] = []
    for generation_id in candidates:
        found = yield (
            _LEASE,
            {"generation_id": generation_id, "owner": owner, "now": now, "until": now + LEASE_S, "lease": LEASE_S},
        )
        leased += [_parcel(row) for row in found]
    return leased


def mark_sent(generation_id: str, now: float) -> Work[None]:
    """The billing service has it, whoever holds its lease by now."""
    yield _SENT, {"generation_id": generation_id, "now": now}


def mark_failed(
    generation_id: str, owner: str, *, retry_at: float, error: str, doubtful: bool, now: float
) -> Work[None]:
    """Send it later; ignored where the lease is another's by now."""
    yield (
        _FAILED,
        {
            "generation_id": generation_id,
            "owner": owner,
            "due_at": retry_at,
            "error": make_storable(error),
            "doubtful": doubtful,
            "now": now,
        },
    )


def mark_given_up(generation_id: str, *, error: str, now: float) -> Work[None]:
    """Keep it, and never send it again."""
    yield _GIVEN_UP, {"generation_id": generation_id, "error": make_storable(error), "now": now}


def _parcel(row: Sequence[Any]) -> Parcel:
    return Parcel(
        generation_id=row[0],
        bill=Bill(customer=row[1], meter=row[2], value=row[3]),
        created_at=row[4],
        attempts=row[5],
        doubted_since=row[6],
    )
