"""What an error inside a response becomes.

The codes: https://platform.openai.com/docs/api-reference/responses/object#responses/object-error.
"""

from __future__ import annotations

from typing import Any, Final

from tailrace.errors import UpstreamError
from tailrace.providers.refusals import break_off, message_of

# The statuses that stand for codes and types outside a stream.
_STATUSES: Final = {
    "server_error": 500,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "context_length_exceeded": 400,
    "bio_policy": 400,
    "misalignment_policy_violation": 400,
    "data_residency_mismatch": 400,
    "failed_to_download_image": 400,
    "vector_store_timeout": 504,
}


def failure_of(told: Any, *, otherwise: str = "an error without a message") -> UpstreamError:
    """The error that is told: an object with code and message, or anything; `otherwise` stands in for its words."""
    code, kind = (told.get("code"), told.get("type")) if isinstance(told, dict) else (None, None)
    status = _status_of(code) or _status_of(kind)
    return break_off(message_of(told) or (code if isinstance(code, str) and code else otherwise), status=status)


def _status_of(code: Any) -> int | None:
    match code:
        case int() if 400 <= code < 600:
            return code
        case str() if code in _STATUSES:
            return _STATUSES[code]
        # What is wrong with a prompt or an image in it has twenty names, and will be no better a second time.
        case str() if code.startswith("invalid_") or "image" in code:
            return 400
    return None
