"""What each key has spent and reserved, kept as sums for each day, month and in all, so that no budget needs a scan."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from tailrace.errors import RequestError
from tailrace.ledger.base import Budget, Period, Pico
from tailrace.ledger.database import Query, Work
from tailrace.ledger.reports import Spending

DAY_S: Final = 86_400

_ADD: Final = Query("""-- Add to a key's sums of one day, its month and in all.
    INSERT INTO spend (key_id, period, starts, settled, reserved)
    VALUES (:key_id, 'day', :day, :settled, :reserved), (:key_id, 'month', :month, :settled, :reserved),
        (:key_id, 'total', '', :settled, :reserved)
    ON CONFLICT (key_id, period, starts) DO UPDATE
    SET settled = spend.settled + excluded.settled, reserved = spend.reserved + excluded.reserved
    RETURNING period, settled + reserved""")

_SPENT: Final = Query("""-- A key's sum of one period.
    SELECT settled + reserved FROM spend WHERE key_id = :key_id AND period = :period AND starts = :starts""")


_LIST: Final = Query("""-- Every key's sums of the day, the month and in all.
    SELECT key_id, period, settled + reserved FROM spend WHERE starts IN (:day, :month, '') ORDER BY key_id""")


def list_spending(at: float) -> Work[list[Spending]]:
    """What each key has spent and reserved in the periods that hold this time."""
    found = yield _LIST, {"day": _starts("day", at), "month": _starts("month", at)}
    sums: dict[str, dict[Period, int]] = {}
    for key_id, period, amount in found:
        sums.setdefault(key_id, {"day": 0, "month": 0, "total": 0})[period] = int(amount)
    return [Spending(key_id=key_id, **by_period) for key_id, by_period in sums.items()]


def spent(key_id: str, period: Period, at: float) -> Work[Pico]:
    """Settled costs and open reservations of the period that holds this time."""
    found = yield _SPENT, {"key_id": key_id, "period": period, "starts": _starts(period, at)}
    return int(found[0][0]) if found else 0


def add_spend(key_id: str, at: float, *, settled: Pico = 0, reserved: Pico = 0) -> Work[dict[Period, Pico]]:
    """Add to the sums of the periods that hold this time; return what they are now."""
    day = _starts("day", at)
    found = yield (
        _ADD,
        {"key_id": key_id, "day": day, "month": day[:7], "settled": settled, "reserved": reserved},
    )
    return {row[0]: int(row[1]) for row in found}


def find_excess(budget: Budget, spent: Pico) -> RequestError | None:
    """The error 429 where more was spent and reserved than the budget allows."""
    if spent <= budget.amount:
        return None
    period = {"day": " for this day", "month": " for this month", "total": ""}[budget.period]
    return RequestError(
        429,
        "budget_exceeded",
        f"this key's budget{period} is used up, counting what its running streams have reserved",
        headers={"x-should-retry": "false"},
    )


def _starts(period: Period, at: float) -> str:
    match period:
        case "total":
            return ""
        case "month":
            return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")
        case "day":
            return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
