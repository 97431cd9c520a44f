"""`/v1/usage/series`, `/v1/usage/latency` and `/v1/spend`: what the dashboard draws, for admins."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects.messages import StrictModel
from tailrace.errors import RequestError
from tailrace.keys import parse_flags, show_budget
from tailrace.ledger import Budget, Key, Latency, Ledger, Point, Spending, Split, Spread, Step
from tailrace.web.admin.bodies import SinceField
from tailrace.web.admin.names import KeyNames
from tailrace.web.auth import Caller
from tailrace.web.exchanges import answer_json
from tailrace.web.figures import usd_json

_DAY_S: Final = 86400
_DEFAULT_SINCE_S: Final = 7 * _DAY_S
_LONGEST_BY_HOUR_S: Final = 31 * _DAY_S


class SeriesQuery(StrictModel):
    """Which steps of time are asked for, and what they are split by."""

    step: Step = Field(default="day", description="Hours and days are UTC's.")
    by: Split = Field(default="model", description="What each step is split by.")
    since: SinceField = Field(
        default_factory=lambda: time.time() - _DEFAULT_SINCE_S, description="A span until now, or a date."
    )


class LatencyQuery(StrictModel):
    """Since when the answers count."""

    since: SinceField = Field(
        default_factory=lambda: time.time() - _DEFAULT_SINCE_S, description="A span until now, or a date."
    )


class Reports:
    """Everyone's usage over time, how long they waited, and what each key has spent."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._names = KeyNames(ledger)

    async def series(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/usage/series?step=hour|day&by=key|model|provider|status&since=7d`."""
        caller.require_admin("everyone's usage over time")
        asked = parse_flags(request.query_params, SeriesQuery)
        if asked.step == "hour" and time.time() - asked.since > _LONGEST_BY_HOUR_S:
            raise RequestError(422, "invalid_field", "hours are for 31 days at most: ask for days", field="step")
        points = await self._ledger.points(step=asked.step, split=asked.by, since=asked.since)
        names = await self._names.read() if asked.by == "key" else {}
        return answer_json({"data": [_describe_point(point, names) for point in points]}, request)

    async def latency(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/usage/latency?since=7d`."""
        caller.require_admin("everyone's waiting times")
        asked = parse_flags(request.query_params, LatencyQuery)
        latencies = await self._ledger.latencies(since=asked.since)
        return answer_json({"data": [_describe_latency(latency) for latency in latencies]}, request)

    async def spend(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/spend`."""
        caller.require_admin("what keys have spent")
        keys = {key.id: key for key in await self._ledger.keys()}
        spent = {spending.key_id: spending for spending in await self._ledger.spending()}
        names = await self._names.read()
        nothing = Spending(key_id="", day=0, month=0, total=0)
        faces = [
            _describe_spending(key_id, names.get(key_id), keys.get(key_id), spent.get(key_id, nothing))
            for key_id in dict.fromkeys((*keys, *spent))
        ]
        return answer_json({"data": faces}, request)


def _describe_point(point: Point, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "starts": point.starts,
        "group": point.group,
        "name": names.get(point.group, point.group),
        "generations": point.generations,
        "input_tokens": point.input_tokens,
        "output_tokens": point.output_tokens,
        "cost_usd": None if point.unpriced == point.generations else usd_json(point.cost),
        "unpriced": point.unpriced,
    }


def _describe_latency(latency: Latency) -> dict[str, Any]:
    return {
        "model": latency.model,
        "first_token_ms": _describe_spread(latency.first_token),
        "between_tokens_ms": _describe_spread(latency.between_tokens),
    }


def _describe_spread(spread: Spread | None) -> dict[str, Any] | None:
    if spread is None:
        return None
    return {"answers": spread.answers, "p50": spread.p50, "p90": spread.p90, "p99": spread.p99}


def _describe_spending(key_id: str, name: str | None, key: Key | None, spending: Spending) -> dict[str, Any]:
    budget = None if key is None else key.budget
    return {
        "key_id": key_id,
        "key_name": name,
        "revoked": key is not None and key.revoked_at is not None,
        "day_usd": usd_json(spending.day),
        "month_usd": usd_json(spending.month),
        "total_usd": usd_json(spending.total),
        "budget": None if budget is None else _describe_budget(budget, spending),
    }


def _describe_budget(budget: Budget, spending: Spending) -> dict[str, Any]:
    """The budget beside what counts against it."""
    spent = {"day": spending.day, "month": spending.month, "total": spending.total}[budget.period]
    return {
        "text": show_budget(budget),
        "period": budget.period,
        "amount_usd": usd_json(budget.amount),
        "spent_usd": usd_json(spent),
        "left_usd": usd_json(max(0, budget.amount - spent)),
        "resets_at": _resets_at(budget, datetime.now(UTC)),
    }


def _resets_at(budget: Budget, now: datetime) -> float | None:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match budget.period:
        case "day":
            return (today + timedelta(days=1)).timestamp()
        case "month":
            return (today.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()
        case "total":
            return None
