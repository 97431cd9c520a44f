"""The routes of all pages."""

from __future__ import annotations

from fastapi import APIRouter

from tailrace.web.pages.documentation import add_documentation
from tailrace.web.pages.faces import add_faces
from tailrace.web.pages.health import Host, add_health, add_metrics
from tailrace.web.signing_in import add_signing_in


def create_pages(host: Host) -> APIRouter:
    """The pages' routes."""
    router = APIRouter(tags=["operations"])
    add_health(router, host)
    add_metrics(router, host)
    add_faces(router)
    add_documentation(router)
    add_signing_in(router, host)
    return router
