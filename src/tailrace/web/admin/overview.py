"""`/v1/overview`: all that goes on at this moment, for admins."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from tailrace.errors import StoreError
from tailrace.generation import Generation, Generations
from tailrace.health import Health, Upstream
from tailrace.ledger import Ledger, Row, Scope
from tailrace.metrics import Metrics
from tailrace.providers import Provider
from tailrace.web.admin.names import KeyNames
from tailrace.web.auth import Caller
from tailrace.web.exchanges import answer_json
from tailrace.web.figures import usd_json

_MOST: Final = 200
_PERCENTS: Final = (50, 90, 99)


class Overview:
    """What runs, how the upstreams do, how long people wait."""

    def __init__(
        self, generations: Generations, ledger: Ledger, metrics: Metrics, providers: Mapping[str, Provider]
    ) -> None:
        self._generations = generations
        self._ledger = ledger
        self._metrics = metrics
        self._providers = providers
        self._names = KeyNames(ledger)

    async def show(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/overview`."""
        caller.require_admin("the overview")
        elsewhere = await self._elsewhere()
        names = await self._names.read()
        live = self._generations.running()
        streams = [*map(_describe, live), *map(_describe_row, elsewhere or ())]
        streams.sort(key=lambda stream: stream["created_at"], reverse=True)
        overview = {
            "now": time.time(),
            "pid": os.getpid(),
            "draining": self._generations.draining,
            "ledger_answers": elsewhere is not None,
            "running": len(streams),
            "streams": [{**stream, "key_name": names.get(stream["key_id"])} for stream in streams[:_MOST]],
            "upstreams": describe_upstreams(self._metrics.health, self._providers),
            "latency": _describe_latency(self._metrics),
        }
        return answer_json(overview, request)

    async def _elsewhere(self) -> list[Row] | None:
        """The rows of what other processes run; None where the database does not answer."""
        try:
            page = await self._ledger.rows(Scope(), limit=_MOST, running=True)
        except StoreError:
            return None
        return [row for row in page.items if self._generations.ring.get(row.id) is None]


def describe_upstreams(health: Health, providers: Mapping[str, Provider]) -> list[dict[str, Any]]:
    """Every upstream that there is, or that was asked."""
    asked = health.upstreams
    return [
        _describe_upstream(name, providers.get(name), asked.get(name, Upstream()))
        for name in dict.fromkeys((*providers, *asked))
    ]


def _describe_upstream(name: str, provider: Provider | None, upstream: Upstream) -> dict[str, Any]:
    return {
        "name": name,
        "kind": None if provider is None else provider.kind,
        "running": upstream.running,
        "requests": upstream.requests.total(),
        "failures": upstream.failures.total(),
        "last_failure": upstream.last_failure,
        "last_answer_at": upstream.last_answer_at,
    }


def _describe(generation: Generation) -> dict[str, Any]:
    progress, log = generation.progress(), generation.log
    scope = Scope() if generation.account is None else generation.account.opening.scope
    return {
        "id": log.id,
        "created_at": log.created_at,
        "key_id": scope.key_id,
        "user": scope.user,
        "provider": progress.provider,
        "model": progress.model,
        "format": log.dialect or None,
        "session_id": log.session_id,
        "input_tokens": progress.input_tokens,
        "output_tokens": progress.output_tokens,
        "cost_usd": usd_json(progress.cost),
        "ttft_ms": progress.ttft_ms,
        "readers": log.viewers,
    }


def _describe_row(row: Row) -> dict[str, Any]:
    """The same of another process's stream, as its last checkpoint has it."""
    return {
        "id": row.id,
        "created_at": row.created_at,
        "key_id": row.scope.key_id,
        "user": row.scope.user,
        "provider": row.provider,
        "model": row.model,
        "format": None,
        "session_id": row.session_id,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens or 0,
        "cost_usd": usd_json(row.cost),
        "ttft_ms": row.ttft_ms,
        "readers": None,
    }


def _describe_latency(metrics: Metrics) -> dict[str, Any]:
    return {
        f"{name}_ms": {f"p{percent}": None if s is None else round(s * 1000, 3) for percent, s in percentiles.items()}
        for name, percentiles in metrics.percentiles(*_PERCENTS).items()
    }
