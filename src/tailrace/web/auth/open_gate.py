"""Open mode: no key was ever made, so this machine may, and nobody's web page through it."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request

from tailrace.errors import RequestError
from tailrace.settings import Settings
from tailrace.web.auth.addresses import host_name, is_loopback, is_loopback_origin
from tailrace.web.auth.callers import LOCAL, Caller
from tailrace.web.auth.gate import Gate
from tailrace.web.auth.key_gate import KeyGate
from tailrace.web.bodies import check_type

_FORWARDED: Final = (b"forwarded", b"x-forwarded-")


class OpenGate:
    """No key was ever made: all on this machine may, as admin `local`, and no page from elsewhere through them."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = frozenset(name.lower() for name in settings.server.hosts)
        self._origins = frozenset(settings.cors.origins)

    async def admit(self, request: Request) -> Caller:
        headers = request.headers
        self._check_host(headers.get("host", ""))
        self._check_forwarding(headers)
        self._check_origin(headers)
        self._check_type(request)
        return Caller(key=LOCAL)

    def honours(self, caller: Caller) -> bool:
        return True

    def _check_host(self, host: str) -> None:
        name = host_name(host)
        if not (is_loopback(name) or name in self._hosts):
            raise RequestError(
                403,
                "host_refused",
                f"without keys only loopback hosts are answered, not {name[:80]!r}; set TAILRACE_ADMIN_KEY, or name "
                "the host in [server] hosts",
            )

    def _check_forwarding(self, headers: Headers) -> None:
        for name, _ in headers.raw:
            if name.startswith(_FORWARDED):
                raise RequestError(
                    403,
                    "forwarded_refused",
                    f"without keys a request that a proxy forwarded ({name.decode('latin-1')[:80]}) is refused; "
                    "set TAILRACE_ADMIN_KEY",
                )

    def _check_type(self, request: Request) -> None:
        """A page elsewhere may post a form or a text without asking first, also where no body is read."""
        if request.method == "POST" and (content_type := request.headers.get("content-type")) is not None:
            check_type(content_type)

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site") == "cross-site":
                raise RequestError(403, "origin_refused", "a cross-site request without an Origin is refused")
        elif not (is_loopback_origin(origin) or origin in self._origins):
            raise RequestError(
                403, "origin_refused", f"the origin {origin[:80]!r} may not call; name it in [cors] origins"
            )


class UntilKeyedGate:
    """Open mode until the first key is made, by whichever process; from then on keys."""

    def __init__(self, opened: Gate, keyed: KeyGate) -> None:
        self._opened = opened
        self._keyed = keyed

    @property
    def is_open(self) -> bool:
        """Whether open mode still holds."""
        return not self._keyed.any_made

    async def admit(self, request: Request) -> Caller:
        gate = self._opened if self.is_open else self._keyed
        return await gate.admit(request)

    def honours(self, caller: Caller) -> bool:
        return self._keyed.honours(caller)
