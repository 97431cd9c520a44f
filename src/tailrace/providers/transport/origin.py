"""Where an upstream is: the parts of its base URL."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

_PORTS: Final = {"http": 80, "https": 443}
_PRINTABLE = re.compile(r"[\x21-\x7e\x80-\U0010ffff]*")
_PATH = re.compile(r"[\x21-\x7e]*")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed base URL. `host` is bare (no brackets), `prefix` the path without its last slash."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    @property
    def netloc(self) -> str:
        """The host as a URL writes it, with the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_origin(url: str) -> Origin:
    """Read a base URL: `http` or `https`, a host, maybe a port and a path.

    Raises ValueError, which never quotes the URL (it may hold a secret), for anything else.
    """
    parts = _split(url)
    if parts.scheme not in _PORTS:
        raise ValueError("must start with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password; use api_key or headers")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError("must end with its path, without ? or #")
    if not _PATH.fullmatch(parts.path):
        raise ValueError("has a path that is not percent-encoded")
    host, port = _host(parts), _port(parts)
    return Origin(scheme=parts.scheme, host=host, port=port, prefix=parts.path.rstrip("/"))


def _split(url: str) -> SplitResult:
    if not _PRINTABLE.fullmatch(url):
        raise ValueError("must not hold spaces or control characters")
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("is not a URL; expected something like https://api.example.com/v1") from None


def _host(parts: SplitResult) -> str:
    if not parts.hostname:
        raise ValueError("has no host; expected something like https://api.example.com/v1")
    try:
        return parts.hostname.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("has a host name that is not valid") from None


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("has a port that is not a number from 1 to 65535")
    return port or _PORTS[parts.scheme]
