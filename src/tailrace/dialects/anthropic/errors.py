"""Anthropic's error objects, in an HTTP answer and in a stream. A message begins with the place that is to blame.

The format: https://platform.claude.com/docs/en/api/errors.
"""

from __future__ import annotations

from typing import Final

from tailrace.dialects.base import json_bytes
from tailrace.dialects.faults import find_place, lead
from tailrace.errors import RequestError
from tailrace.events import Failed

_KINDS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

# Where the status alone would say another thing.
_KINDS_BY_CODE: Final = {
    "budget_exceeded": "billing_error",
    "draining": "overloaded_error",
    "cancelled": "api_error",
}

# What this format calls the places that tailrace names by chat completions' words.
_PLACES: Final = {
    "messages": "messages",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "stop": "stop_sequences",
}


def write_refusal(error: RequestError, request_id: str) -> bytes:
    """A refusal's body."""
    return _write(_kind(error.status, error.code), lead(error.field, error.message), request_id=request_id)


def write_failure(failed: Failed, request_id: str | None = None) -> bytes:
    """What tells that an answer failed: a body, or, without the request's id, the data of a stream's last frame."""
    kind = _kind(failed.status, failed.code)
    told = lead(find_place(failed.field, _PLACES), failed.message)
    return _write(kind, told) if request_id is None else _write(kind, told, request_id=request_id)


def _kind(status: int, code: str) -> str:
    otherwise = "api_error" if status >= 500 else "invalid_request_error"
    return _KINDS_BY_CODE.get(code) or _KINDS.get(status, otherwise)


def _write(kind: str, message: str, **more: str) -> bytes:
    return json_bytes({"type": "error", "error": {"type": kind, "message": message}, **more})
