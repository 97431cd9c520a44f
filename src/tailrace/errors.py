"""Every error that tailrace raises, under one base.

    TailraceError
    ├── SettingsError      a wrong setting, with its place
    ├── RequestError       what the client sent can't be served; becomes an HTTP error
    ├── WireError          bytes that break the format they claim to be in
    ├── StoreError         a database or a shared log does not answer
    ├── UnreachableError   the client's server does not answer (any more)
    └── StreamError        a generation can't go on; becomes `Failed`
        └── UpstreamError  the upstream's doing

Codes are attributes, never text to be matched.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

FailureCode: TypeAlias = Literal[
    "upstream_refused",
    "upstream_auth",
    "upstream_error",
    "upstream_cut",
    "upstream_invalid",
    "connect_timeout",
    "first_token_timeout",
    "idle_timeout",
    "total_timeout",
    "too_long",
    "cancelled",
    "budget_exceeded",
    "key_revoked",
    "draining",
    "interrupted",
    "internal",
]

HTTP_STATUS: Final[dict[FailureCode, int]] = {
    "upstream_refused": 502,
    "upstream_auth": 502,
    "upstream_error": 502,
    "upstream_cut": 502,
    "upstream_invalid": 502,
    "connect_timeout": 504,
    "first_token_timeout": 504,
    "idle_timeout": 504,
    "total_timeout": 504,
    "too_long": 502,
    "cancelled": 409,
    "budget_exceeded": 429,
    "key_revoked": 401,
    "draining": 503,
    "interrupted": 502,
    "internal": 500,
}
"""The status for a client that has received nothing yet, where the upstream's own does not hold."""

_RETRYABLE: Final[frozenset[FailureCode]] = frozenset(
    {
        "upstream_error",
        "upstream_cut",
        "connect_timeout",
        "first_token_timeout",
        "idle_timeout",
        "draining",
        "interrupted",
    }
)


class TailraceError(Exception):
    """The base of all."""


class SettingsError(TailraceError):
    """A setting is wrong. `where` names its place: a flag, a variable, or a file and key."""

    def __init__(self, message: str, *, where: str) -> None:
        super().__init__(f"{where}: {message}")
        self.message = message
        self.where = where


class RequestError(TailraceError):
    """A request can't be served. `status` is HTTP's, `code` names the case, `field` the place in the request."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers or {}


class StreamError(TailraceError):
    """A generation can't go on. `message` is fit for the client's eyes, `field` the place in the request to blame."""

    def __init__(
        self,
        code: FailureCode,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code: FailureCode = code
        self.message = message
        self.status = HTTP_STATUS[code] if status is None else status
        self.retry_after = retry_after
        self.retryable = code in _RETRYABLE if retryable is None else retryable
        self.field = field


class UpstreamError(StreamError):
    """The upstream refused, broke off, kept silent or talked nonsense."""


class WireError(TailraceError):
    """Bytes that break the format they claim to be in."""


class StoreError(TailraceError):
    """A database or a shared log does not answer. What can wait is kept; what can't is refused with 503."""


class UnreachableError(TailraceError):
    """The server at `url` could not be reached, or not again in time. What came before it was lost holds."""

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.message = message
        self.url = url
