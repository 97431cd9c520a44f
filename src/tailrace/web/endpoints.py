"""The shape of every endpoint of our API: it is told the caller, and its refusals leave as its dialect's own errors."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import DELTA, Dialect
from tailrace.dialects.body import refuse_keys
from tailrace.errors import RequestError, StoreError
from tailrace.web.auth import Caller, Gate
from tailrace.web.edge import Endpoint
from tailrace.web.exchanges import refuse
from tailrace.web.openapi.building import Schema

Handler: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]


class Endpoints:
    """A router, and the table of the same endpoints by method and path, where no part of the path varies."""

    def __init__(self, gate: Gate, *, tag: str) -> None:
        self._gate = gate
        self.router = APIRouter(tags=[tag])
        self.table: dict[tuple[str, str], Endpoint] = {}

    def add(self, method: str, path: str, handler: Handler, operation: Schema, *, dialect: Dialect = DELTA) -> None:
        """Answer `method` on `path` with `handler`, once the gate has let the caller in.

        Refusals are the dialect's own: problem JSON where it is one of ours.
        """

        async def endpoint(request: Request) -> Response:
            try:
                refuse_keys(request.query_params)
                return await handler(request, await self._gate.admit(request))
            except RequestError as error:
                return refuse(error, request, dialect)
            except StoreError:
                # What the database said is for the log of the ledger, not for a stranger.
                return refuse(_unavailable(), request, dialect)

        if "{" not in path:
            self.table[method, path] = endpoint
        self.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            response_class=Response,
            operation_id=f"{method.lower()}{re.sub('[^a-z0-9]+', '_', path).rstrip('_')}",
            openapi_extra=operation,
        )


def _unavailable() -> RequestError:
    return RequestError(503, "store_unavailable", "the database does not answer", headers={"retry-after": "1"})
