"""The faces for people: the chat at `/` and the dashboard at `/dashboard`."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tailrace.web.pages.assets import refuse_asset, serve_asset

_ASSETS: Final = frozenset({"chat.js", "chat.css", "dashboard.js", "dashboard.css", "icon.svg"})

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline, and no string ever becomes markup or script."""


def add_faces(router: APIRouter) -> None:
    """Both pages and what they load. Anybody may see them; what they show needs a sign-in where keys exist."""

    @router.get("/", include_in_schema=False)
    async def chat(request: Request) -> Response:
        return serve_asset("chat.html", request, policy=_CSP)

    @router.get("/dashboard", include_in_schema=False)
    async def dashboard(request: Request) -> Response:
        return serve_asset("dashboard.html", request, policy=_CSP)

    @router.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        return serve_asset(name, request) if name in _ASSETS else refuse_asset(f"assets/{name}", request)
