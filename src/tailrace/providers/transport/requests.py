"""Requests as bytes (RFC 9112), with everything refused that would break their framing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Final

from tailrace.providers.transport.origin import Origin

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_PATH = re.compile(r"/[\x21-\x7e]*")
_OWN: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"}
)
_NO_BODY: Final = frozenset({"GET", "DELETE", "OPTIONS"})
_KEPT: Final = 16
"""How many heads are kept: a provider asks for two paths, some with a few sets of headers."""


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ValueError for a header that a request must not carry: malformed, or one that frames the message.

    The error names the header and never quotes its value.
    """
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"header {name!r}: a name is made of letters, digits and hyphens")
        if not _VALUE.fullmatch(value):
            raise ValueError(
                f"header {name}: its value holds a line break or something else that is not printable ASCII"
            )
        if name.lower() in _OWN:
            raise ValueError(f"header {name}: set by the transport itself, so it can't be given")


def check_target(method: str, path: str) -> None:
    """Raise ValueError for a method or path that can't be sent."""
    if not _TOKEN.fullmatch(method) or method in {"HEAD", "CONNECT"}:
        raise ValueError(f"method {method!r}: can't be sent")
    if not _PATH.fullmatch(path):
        raise ValueError(f"path {path!r}: must start with / and be percent-encoded")


class HeadWriter:
    """Writes the heads of requests to one origin; what is the same in many of them is checked and written once."""

    def __init__(self, origin: Origin) -> None:
        self._open = lru_cache(maxsize=_KEPT)(partial(_open_head, origin))

    def write(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """The head, the blank line included. Raises ValueError for what can't be sent."""
        opening = self._open(method, path, tuple(headers.items()))
        if body is None and method in _NO_BODY:
            return opening + b"\r\n"
        return b"%bcontent-length: %d\r\n\r\n" % (opening, len(body or b""))


def _open_head(origin: Origin, method: str, path: str, items: tuple[tuple[str, str], ...]) -> bytes:
    """All of a head but the body's length and the blank line."""
    headers = dict(items)
    check_target(method, path)
    check_headers(headers)
    lines = [f"{method} {origin.prefix}{path} HTTP/1.1"]
    if not any(name.lower() == "host" for name in headers):
        lines.append(f"host: {origin.netloc}")
    lines.append("accept-encoding: identity")
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
