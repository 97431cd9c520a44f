"""Who may: keys where there are any, else open mode, which lets in this machine alone and nobody's web page."""

from __future__ import annotations

import functools
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request

from tailrace.errors import RequestError
from tailrace.settings import Secret, Settings
from tailrace.web.bodies import check_type

Identify: TypeAlias = Callable[[Request], Awaitable[str | None] | str | None]
"""An application's own answer to who asks: a user's name, None for nobody."""

_FORWARDED: Final = (b"forwarded", b"x-forwarded-")
_UNAUTHORIZED: Final = "a valid API key is needed, as X-API-Key: KEY or Authorization: Bearer KEY"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. Streams belong to the name; an admin sees all of them."""

    name: str
    admin: bool = False


class Gate(Protocol):
    """Decides who a request comes from. Raises RequestError for a request that may not be made."""

    async def admit(self, request: Request) -> Caller: ...


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
        return Caller(name="local", admin=True)

    def _check_host(self, host: str) -> None:
        name = _host_name(host)
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


class KeyGate:
    """One admin key, given from the start. `None` lets nobody in."""

    def __init__(self, admin_key: Secret | None) -> None:
        self._admin_key = admin_key

    async def admit(self, request: Request) -> Caller:
        key = _presented_key(request.headers)
        if key is None or self._admin_key is None or not _equal(key, self._admin_key.reveal()):
            raise RequestError(401, "unauthorized", _UNAUTHORIZED, headers={"www-authenticate": "Bearer"})
        return Caller(name="admin", admin=True)


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
        return Caller(name=name)


def _presented_key(headers: Headers) -> str | None:
    if (key := headers.get("x-api-key")) is not None:
        return key
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def _equal(presented: str, key: str) -> bool:
    return hmac.compare_digest(presented.encode("utf-8", "replace"), key.encode())


@functools.lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether the name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_origin(origin: str) -> bool:
    """Whether a web origin is a page of this machine."""
    try:
        return is_loopback((urlsplit(origin).hostname or "").lower())
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """The name in a Host header, without its port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
