"""The outermost layer of the whole server: request ids, CORS, and a count of what was answered."""

from __future__ import annotations

import secrets
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.metrics import Metrics
from tailrace.settings import Settings
from tailrace.web.auth import is_loopback_origin

REQUEST_ID: Final = "tailrace.request_id"
EDGE_HEADERS: Final = "tailrace.edge_headers"
STATUS: Final = "tailrace.status"
"""Scope keys: the request's id, the headers every response carries, and the status of one sent past this layer."""

_EXPOSED: Final = b"X-Tailrace-Stream, X-Request-Id, Retry-After, " + b", ".join(
    b"x-ratelimit-%b-%b" % (what, of) for what in (b"limit", b"remaining", b"reset") for of in (b"requests", b"tokens")
)
_CLIENT_LEFT: Final = 499
_METHODS: Final = b"GET, POST, PATCH, DELETE, OPTIONS"


class Edge:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, *, settings: Settings, metrics: Metrics, open_mode: bool) -> None:
        self._app = app
        self._origins = frozenset(settings.cors.origins)
        self._open_mode = open_mode
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = new_request_id()
        headers = scope[EDGE_HEADERS] = [(b"x-request-id", request_id.encode()), *self._cors(scope)]
        if _is_preflight(scope):
            await _answer_preflight(scope, headers, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope[STATUS] = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            self._metrics.request_answered(_route(scope), scope.get(STATUS, _CLIENT_LEFT))

    def _cors(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        origin = Headers(scope=scope).get("origin")
        if origin is None:
            return []
        vary = (b"vary", b"Origin")
        if not (origin in self._origins or (self._open_mode and is_loopback_origin(origin))):
            return [vary]
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED),
            vary,
        ]


def new_request_id() -> str:
    """A request's name in logs and errors."""
    return f"req_{secrets.token_hex(8)}"


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return getattr(route, "path", "other")


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope)


async def _answer_preflight(scope: Scope, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    """OPTIONS needs no key: it says which origins may call, and nothing else."""
    allowed = any(name == b"access-control-allow-origin" for name, _ in headers)
    asked = Headers(scope=scope).get("access-control-request-headers", "")
    answer = [
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", asked.encode("latin-1")),
        (b"access-control-max-age", b"600"),
    ]
    await send(
        {
            "type": "http.response.start",
            "status": 204 if allowed else 403,
            "headers": [*headers, *(answer if allowed else ())],
        }
    )
    await send({"type": "http.response.body", "body": b""})
