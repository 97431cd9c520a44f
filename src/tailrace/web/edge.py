"""The outermost layer of the whole server: request ids, CORS, and a count of what was answered.

The routes that generate, and that read a stream, are found here, by one look into a table, before the framework's own
layers: those cost 150 µs of CPU a request and 4 KiB for as long as it lasts, and have nothing to add to a body that we
read and a response that we write ourselves. Under a path prefix, and for every other route, the framework finds the
same endpoints.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeAlias

from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.dialects import DELTA
from tailrace.errors import RequestError
from tailrace.ids import new_id
from tailrace.metrics import Metrics
from tailrace.settings import Settings
from tailrace.web.auth import is_loopback_origin

REQUEST_ID: Final = "tailrace.request_id"
EDGE_HEADERS: Final = "tailrace.edge_headers"
STATUS: Final = "tailrace.status"
ROUTE: Final = "tailrace.route"
"""Scope keys: the request's id, the headers every response carries, the status of one sent past this layer, and the
route's name where it was found here.
"""

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


_EXPOSED: Final = b"X-Tailrace-Stream, X-Request-Id, Retry-After, " + b", ".join(
    b"x-ratelimit-%b-%b" % (what, of) for what in (b"limit", b"remaining", b"reset") for of in (b"requests", b"tokens")
)
_CLIENT_LEFT: Final = 499
_METHODS: Final = b"GET, POST, PATCH, DELETE, OPTIONS"


class Found(NamedTuple):
    """An endpoint, the route that it answers, and what its path's variable parts are."""

    endpoint: Endpoint
    route: str
    path_params: dict[str, str]


class Edge:
    """Wraps the whole application. `find` gives the endpoint for a method and path, where that needs no framework."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        metrics: Metrics,
        is_open: Callable[[], bool],
        find: Callable[[str, str], Found | None],
    ) -> None:
        self._app = app
        self._find = find
        self._origins = frozenset(settings.cors.origins)
        self._is_open = is_open
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
            if (found := self._find(scope["method"], scope["path"])) is None:
                await self._app(scope, receive, send_with_headers)
            else:
                scope[ROUTE], scope["path_params"] = found.route, found.path_params
                response = await found.endpoint(_Request(scope, receive))
                await response(scope, receive, send_with_headers)
        except Exception:
            if STATUS not in scope:
                await _answer_failure(request_id, send_with_headers)
            raise
        finally:
            self._metrics.request_answered(_route(scope), scope.get(STATUS, _CLIENT_LEFT))

    def _cors(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        found = _header(scope, b"origin")
        if found is None:
            return []
        origin = found.decode("latin-1")
        vary = (b"vary", b"Origin")
        if not (origin in self._origins or (is_loopback_origin(origin) and self._is_open())):
            return [vary]
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED),
            vary,
        ]


class _Headers(Headers):
    """Headers in a table: the framework's own are searched through, and a request is asked for nine of them."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._first = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(raw)}

    def __getitem__(self, key: str) -> str:
        return self._first[key.lower()]

    def get(self, key: str, default: Any = None) -> Any:
        return self._first.get(key.lower(), default)


_NO_QUERY: Final = QueryParams()


class _Request(Request):
    """The framework's request, quicker to be asked: its headers are no property."""

    headers: Headers = _Headers([])

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.headers = _Headers(scope["headers"])
        if not scope["query_string"]:
            self._query_params = _NO_QUERY


def new_request_id() -> str:
    """A request's name in logs and errors."""
    return new_id("req_", 8)


def _route(scope: Scope) -> str:
    if ROUTE in scope:
        return str(scope[ROUTE])
    return getattr(scope.get("route"), "path", "other")


def _header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method") is not None


def unexpected(request_id: str) -> RequestError:
    """The refusal of a request that no one expected to fail; the server logs why."""
    return RequestError(500, "internal", f"an error inside the server ended the request ({request_id})")


async def _answer_failure(request_id: str, send: Send) -> None:
    error = unexpected(request_id)
    media_type, body = DELTA.refusal(error, request_id)
    headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_preflight(scope: Scope, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    """OPTIONS needs no key: it says which origins may call, and nothing else."""
    allowed = any(name == b"access-control-allow-origin" for name, _ in headers)
    asked = _header(scope, b"access-control-request-headers") or b""
    answer = [
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", asked),
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
