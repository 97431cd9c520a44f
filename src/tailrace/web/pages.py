"""What is not the API: health, metrics, and the documentation page, all from this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response

from tailrace.errors import RequestError
from tailrace.generation import Generations
from tailrace.metrics import Metrics
from tailrace.web.auth import Gate, KeyGate
from tailrace.web.exchanges import refuse
from tailrace.web.signing_in import add_signing_in

ASSETS: Final = Path(__file__).parent / "assets"
"""What the package's build took from npm; see `hatch_build.py`."""

_DOCS_ASSETS: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}

_DOCS_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_DOCS_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>tailrace API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""

_DOCS_SCRIPT: Final = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true});\n'


class Host(Protocol):
    """What the pages need of the application."""

    gate: Gate
    key_gate: KeyGate
    generations: Generations
    metrics: Metrics

    @property
    def is_open(self) -> bool: ...


def create_pages(host: Host) -> APIRouter:
    """The pages' routes."""
    router = APIRouter(tags=["operations"])
    _add_health(router, host)
    _add_metrics(router, host)
    _add_docs(router)
    add_signing_in(router, host)
    return router


def _add_health(router: APIRouter, host: Host) -> None:
    @router.get("/health", summary="Whether the process answers")
    @router.get("/livez", summary="The same", include_in_schema=False)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Whether new streams are taken", responses={503: {"description": "Draining."}})
    async def ready() -> JSONResponse:
        draining = host.generations.draining
        return JSONResponse({"status": "draining" if draining else "ok"}, status_code=503 if draining else 200)


def _add_metrics(router: APIRouter, host: Host) -> None:
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


def _add_docs(router: APIRouter) -> None:
    @router.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return RedirectResponse(request.scope.get("root_path", "") + "/docs")

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(_DOCS_PAGE, media_type="text/html", headers={"content-security-policy": _DOCS_CSP})

    @router.get("/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        return Response(_DOCS_SCRIPT, media_type="text/javascript")

    @router.get("/docs/{name}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        if name not in _DOCS_ASSETS:
            return refuse(RequestError(404, "not_found", f"there is no docs/{name[:80]}"), request)
        return FileResponse(ASSETS / name, media_type=_DOCS_ASSETS[name])
