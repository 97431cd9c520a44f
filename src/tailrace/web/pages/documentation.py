"""`/docs`: the API described, with nothing loaded from elsewhere."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tailrace.web.pages.assets import refuse_asset, serve_asset

_ASSETS: Final = frozenset({"swagger-ui-bundle.js", "swagger-ui.css"})

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>tailrace API</title>
<link rel="icon" href="assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""

_SCRIPT: Final = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true});\n'


def add_documentation(router: APIRouter) -> None:
    """`/docs` and what it loads."""

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(_PAGE, media_type="text/html", headers={"content-security-policy": _CSP})

    @router.get("/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        return Response(_SCRIPT, media_type="text/javascript")

    @router.get("/docs/{name}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        return serve_asset(name, request) if name in _ASSETS else refuse_asset(f"docs/{name}", request)
