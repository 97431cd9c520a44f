"""The shape of every endpoint of our API: it is told the caller, and its refusals leave as its dialect's own errors."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import DELTA, Dialect
from tailrace.dialects.body import refuse_keys
from tailrace.errors import RequestError, StoreError
from tailrace.web.auth import Caller, Gate
from tailrace.web.delivery import READER
from tailrace.web.edge import Endpoint, Found
from tailrace.web.exchanges import ID_HEADER, refuse
from tailrace.web.openapi.building import Schema

Handler: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]


_ENDING: Final = re.compile(r"([^{}]*/)\{([a-z_]+)\}", re.ASCII)
"""A path whose last part alone varies."""


class Endpoints:
    """A router, and tables of the same endpoints by method and path, where at most the last part of the path varies."""

    def __init__(self, gate: Gate, *, tag: str) -> None:
        self._gate = gate
        self.router = APIRouter(tags=[tag])
        self._fixed: dict[tuple[str, str], Found] = {}
        self._ending: dict[tuple[str, str], tuple[str, str, Endpoint]] = {}

    def add(self, method: str, path: str, handler: Handler, operation: Schema, *, dialect: Dialect = DELTA) -> None:
        """Answer `method` on `path` with `handler`, once the gate has let the caller in.

        Refusals are the dialect's own: problem JSON where it is one of ours.
        """

        async def endpoint(request: Request) -> Response:
            request.scope[ID_HEADER] = dialect.request_id_header
            try:
                if request.scope["query_string"]:
                    refuse_keys(request.query_params)
                caller = await self._gate.admit(request)
                request.scope[READER] = _Reader(caller, self._gate)
                return await handler(request, caller)
            except RequestError as error:
                return refuse(error, request, dialect)
            except StoreError:
                # What the database said is for the log of the ledger, not for a stranger.
                return refuse(_unavailable(), request, dialect)

        if "{" not in path:
            self._fixed[method, path] = Found(endpoint, path, {})
        elif (ending := _ENDING.fullmatch(path)) is not None:
            self._ending[method, ending[1]] = (path, ending[2], endpoint)
        self.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            response_class=Response,
            operation_id=f"{method.lower()}{re.sub('[^a-z0-9]+', '_', path).rstrip('_')}",
            openapi_extra=operation,
        )

    def find(self, method: str, path: str) -> Found | None:
        """The endpoint of a path, from the tables."""
        if (fixed := self._fixed.get((method, path))) is not None:
            return fixed
        start, slash, last = path.rpartition("/")
        if not last or (ending := self._ending.get((method, start + slash))) is None:
            return None
        route, name, endpoint = ending
        return Found(endpoint, route, {name: last})


class _Reader:
    """A caller as whoever delivers to it sees it."""

    __slots__ = ("_caller", "_gate")

    def __init__(self, caller: Caller, gate: Gate) -> None:
        self._caller = caller
        self._gate = gate

    @property
    def name(self) -> str:
        return self._caller.name

    def honoured(self) -> bool:
        return self._gate.honours(self._caller)


def _unavailable() -> RequestError:
    return RequestError(503, "store_unavailable", "the database does not answer", headers={"retry-after": "1"})
