"""One HTTP exchange on our own routes: its request id, its problem JSON, its plain JSON."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import DELTA, Dialect
from tailrace.dialects.base import json_bytes
from tailrace.errors import RequestError
from tailrace.web.edge import REQUEST_ID, new_request_id
from tailrace.web.feed import Headers

ID_HEADER: Final = "tailrace.id_header"
"""Scope key: another header that holds the request's id, as the route's format has it."""


def request_id(request: Request) -> str:
    """The edge's, or one of our own where another application stands around us."""
    if REQUEST_ID in request.scope:
        return str(request.scope[REQUEST_ID])
    state = request.scope.setdefault("state", {})
    return str(state.setdefault(REQUEST_ID, new_request_id()))


def own_headers(request: Request) -> Headers:
    """The edge adds the request's id to every response; without it we add ours. And where a vendor's clients look."""
    names = [] if REQUEST_ID in request.scope else [b"x-request-id"]
    if also := request.scope.get(ID_HEADER):
        names.append(also)
    return [(name, request_id(request).encode()) for name in names]


def refuse(error: RequestError, request: Request, dialect: Dialect = DELTA) -> Response:
    """A refusal as the dialect's own error, by default as problem JSON."""
    media_type, body = dialect.refusal(error, request_id(request))
    response = Response(body, status_code=error.status, media_type=media_type, headers=error.headers)
    response.raw_headers += own_headers(request)
    return response


def answer_json(value: Any, request: Request, *, status: int = 200) -> Response:
    """A value as JSON that nobody keeps."""
    response = Response(
        json_bytes(value), status_code=status, media_type="application/json", headers={"cache-control": "no-store"}
    )
    response.raw_headers += own_headers(request)
    return response
