"""An application around us that knows its users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeAlias

from starlette.requests import Request

from tailrace.errors import RequestError
from tailrace.web.auth.callers import APPLICATION, Caller

Identify: TypeAlias = Callable[[Request], Awaitable[str | None] | str | None]
"""An application's own answer to who asks: a user's name, None for nobody."""


class IdentifyGate:
    """The application around us knows its users."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    async def admit(self, request: Request) -> Caller:
        name = self._identify(request)
        if isawaitable(name):
            name = await name
        if name is None:
            raise RequestError(401, "unauthorized", "the application does not know who asks")
        return Caller(key=APPLICATION, user=name)

    def honours(self, caller: Caller) -> bool:
        return True
