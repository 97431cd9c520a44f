"""Our own pages as callers: a cookie that no script reads and no other site sends, and a second look all the same.

The cookie is HttpOnly and SameSite=Strict. What a browser tells of a request's origin must fit too: Sec-Fetch-Site
where it sends it (https://www.w3.org/TR/fetch-metadata/), else Origin, which whatever changes something carries.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from tailrace.errors import RequestError

COOKIE: Final = "tailrace_session"
LIFE_S: Final = 12 * 3600

_SAFE: Final = frozenset({"GET", "HEAD"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def check_own_page(request: Request) -> None:
    """Raise RequestError 403 where a request that carries the cookie does not come from a page of ours."""
    if not _is_from_own_page(request):
        raise RequestError(403, "origin_refused", "a sign-in serves tailrace's own pages alone; others need a key")


def _is_from_own_page(request: Request) -> bool:
    safe = request.method in _SAFE
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin" or (safe and site == "none")
    origin = request.headers.get("origin")
    return safe if origin is None else _is_own(origin, request.headers.get("host", ""))


def _is_own(origin: str, host: str) -> bool:
    scheme = origin.partition(":")[0]
    try:
        return _place(origin) == _place(f"{scheme}://{host}")
    except ValueError:
        return False


def _place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
