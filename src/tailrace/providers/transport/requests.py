"""Requests as bytes (RFC 9112), with everything refused that would break their framing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tailrace.providers.transport.origin import Origin

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_PATH = re.compile(r"/[\x21-\x7e]*")
_OWN: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"}
)
_NO_BODY: Final = frozenset({"GET", "DELETE", "OPTIONS"})


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


def encode_head(origin: Origin, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Write the request's head, the blank line included. Raises ValueError for what can't be sent."""
    check_target(method, path)
    check_headers(headers)
    lines = [f"{method} {origin.prefix}{path} HTTP/1.1"]
    if not any(name.lower() == "host" for name in headers):
        lines.append(f"host: {origin.netloc}")
    lines.append("accept-encoding: identity")
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    if body is not None or method not in _NO_BODY:
        lines.append(f"content-length: {len(body or b'')}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("ascii")
