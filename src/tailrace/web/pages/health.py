"""What machines ask: whether the process lives, whether it takes new streams, and its figures."""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tailrace.errors import RequestError
from tailrace.generation import Generations
from tailrace.metrics import Metrics
from tailrace.web.auth import Gate, KeyGate
from tailrace.web.exchanges import refuse


class Host(Protocol):
    """What the pages need of the application."""

    gate: Gate
    key_gate: KeyGate
    generations: Generations
    metrics: Metrics

    @property
    def is_open(self) -> bool: ...


def add_health(router: APIRouter, host: Host) -> None:
    """`/health`, `/livez` and `/readyz`."""

    @router.get("/health", summary="Whether the process answers")
    @router.get("/livez", summary="The same", include_in_schema=False)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Whether new streams are taken", responses={503: {"description": "Draining."}})
    async def ready() -> JSONResponse:
        draining = host.generations.draining
        return JSONResponse({"status": "draining" if draining else "ok"}, status_code=503 if draining else 200)


def add_metrics(router: APIRouter, host: Host) -> None:
    """`/metrics`."""
    registry = CollectorRegistry()
    registry.register(host.metrics)

    @router.get("/metrics", summary="Prometheus' text format", response_class=Response)
    async def metrics(request: Request) -> Response:
        try:
            caller = await host.gate.admit(request)
        except RequestError as error:
            return refuse(error, request)
        if not caller.admin:
            return refuse(RequestError(403, "admin_only", "metrics need an admin key"), request)
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})
