"""What an upstream's refusal becomes: its HTTP status and message, as an error fit for the client's eyes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from tailrace.errors import UpstreamError, WireError
from tailrace.providers.payloads import parse_loosely

MAX_REFUSAL: Final = 64 << 10
"""How many bytes of a refusal's body are read."""

_AUTH: Final = frozenset({401, 402, 403})
_KEPT: Final = frozenset({400, 404, 413, 422, 429})
_PASSING: Final = frozenset({408, 425})
_OVERLOADED: Final = 529
_MESSAGE_KEYS: Final = ("error", "message", "detail", "msg")
_MAX_MESSAGE: Final = 1000
_PLACE: Final = re.compile(r"[\w.\[\]-]{1,200}")
_MAX_RETRY_AFTER: Final = 7 * 24 * 3600.0

# A configured header shorter than this is no secret, and blotting it out would eat ordinary words.
_SHORTEST_SECRET: Final = 8
_BLOT: Final = "***"
_SECRETS: Final = re.compile(
    r"(?i:\bbearer\s+)[^\s\"',;]{6,}"
    r"|(?i:\bbasic\s+)(?=\S*[\d=])[\w+/=]{8,}"
    r"|\b(?:sk|rk|pk|gsk|xai|hf|nvapi|tr|r8|pplx|key)[-_][\w*.\-]{8,}"
    r"|\bAIza[\w-]{8,}"
)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def refuse(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error for an answer with a status other than 2xx. The message is the vendor's own, where one is found."""
    if 300 <= status < 400:
        return UpstreamError("upstream_error", f"answered with a redirect ({status}), which is never followed")
    message = find_message(body)
    retry_after = parse_retry_after(headers.get("retry-after"), now=time.time())
    told = f"answered {status}" + (f": {message}" if message else "")
    return for_status(status, told, retry_after=retry_after, field=find_field(body))


def for_status(
    status: int, message: str, *, retry_after: float | None = None, field: str | None = None
) -> UpstreamError:
    """The error for an HTTP status."""
    if status in _AUTH:
        return UpstreamError("upstream_auth", message)
    if status in _KEPT:
        passing = status == 429
        return UpstreamError(
            "upstream_refused", message, status=status, retry_after=retry_after, retryable=passing, field=field
        )
    if status >= 500 or status in _PASSING:
        kept = status if status == _OVERLOADED else None
        return UpstreamError("upstream_error", message, status=kept, retry_after=retry_after)
    return UpstreamError("upstream_refused", message)


def break_off(message: str, *, status: int | None = None) -> UpstreamError:
    """The error for one that the upstream tells of in a 200's body; `status` is the one it stands for, if any."""
    if status is None:
        return UpstreamError("upstream_error", message)
    refusal = for_status(status, message)
    return UpstreamError("upstream_error", message, status=refusal.status, retryable=refusal.retryable)


def find_message(body: bytes) -> str | None:
    """The vendor's own words in an error body: OpenAI's, Anthropic's, Ollama's, FastAPI's, or plain text."""
    try:
        return message_of(parse_loosely(body))
    except WireError:
        text = body.decode("utf-8", "replace").strip()
        return None if not text or text.startswith("<") else text


def find_field(body: bytes) -> str | None:
    """The place in the request that an error body of OpenAI's blames."""
    try:
        match parse_loosely(body):
            case {"error": {"param": str(param)}} if _PLACE.fullmatch(param):
                return param
    except WireError:
        pass
    return None


def message_of(value: Any, *, depth: int = 4) -> str | None:
    """The message in a parsed error, as deep as vendors are seen to put it."""
    match value:
        case str(text) if text.strip():
            return text.strip()
        case list() if value and depth:
            return message_of(value[0], depth=depth - 1)
        case dict() if depth:
            found = (message_of(value.get(key), depth=depth - 1) for key in _MESSAGE_KEYS)
            return next((message for message in found if message), None)
    return None


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """The seconds to wait by a Retry-After header, which holds seconds or an HTTP date; None where it says nothing."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value, now)
    return min(seconds, _MAX_RETRY_AFTER) if seconds >= 0 else None


def mask(message: str, secrets: Iterable[str]) -> str:
    """The message without `secrets`, without anything else shaped like a key, and safe for a terminal or a log."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            message = message.replace(secret, _BLOT)
    message = _CONTROLS.sub(" ", _SECRETS.sub(_BLOT, message))
    return message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "…"


def _seconds_until(date: str, now: float) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, OverflowError):
        return -1.0
