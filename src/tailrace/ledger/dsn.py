"""PostgreSQL's connection URLs as libpq means them; the driver knows most of their parameters, and here are the others.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from tailrace.errors import SettingsError

WHERE: Final = "TAILRACE_DATABASE_URL"

_CONNECT_S: Final = 10.0
_ONLY_TUNING: Final = frozenset(
    {
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "sslcompression",
        "sslsni",
    }
)
_DEMANDS: Final = ("channel_binding", "gssencmode")


class Dsn(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that the driver understands, which may hold a password, and how long connecting may take."""

    url: str
    connect_s: float

    def __repr__(self) -> str:
        return "Dsn(***)"


def read_dsn(url: str) -> Dsn:
    """Take out what the driver would hand to the server. Raises SettingsError for what it can't promise."""
    parts = urlsplit(url)
    kept = {name: value for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in _ONLY_TUNING}
    for name in _DEMANDS:
        if kept.pop(name, None) == "require":
            raise SettingsError(f"{name}=require can't be promised by the driver: leave it out", where=WHERE)
    connect_s = _seconds(kept.pop("connect_timeout", ""))
    if fallback := kept.pop("fallback_application_name", ""):
        kept.setdefault("application_name", fallback)
    kept.setdefault("application_name", "tailrace")
    return Dsn(url=urlunsplit(parts._replace(query=urlencode(kept))), connect_s=connect_s)


def _seconds(given: str) -> float:
    try:
        seconds = int(given or 0)
    except ValueError:
        raise SettingsError(f"connect_timeout must be whole seconds, not {given[:20]!r}", where=WHERE) from None
    return float(seconds) if seconds > 0 else _CONNECT_S
