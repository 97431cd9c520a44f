"""OpenAI's error objects, in an HTTP answer and in a stream, and what they say of a body that is wrong.

The format: https://platform.openai.com/docs/guides/error-codes.
"""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from tailrace.dialects.base import json_bytes
from tailrace.dialects.faults import explain_as_vendors, in_brackets
from tailrace.errors import RequestError
from tailrace.events import Failed

# The codes that OpenAI's clients look for, where it has its own word.
_CODES: Final = {
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "too_many_streams": "rate_limit_exceeded",
    "budget_exceeded": "insufficient_quota",
    "unsupported": "unsupported_value",
}
# What its `code` says of Pydantic's kinds of error; a wrong type of any sort is `invalid_type`.
_FAULTS: Final = {
    "missing": "missing_required_parameter",
    "unsupported": "unsupported_value",
}


def write_refusal(error: RequestError) -> bytes:
    """A refusal's body."""
    return _write(error.status, error.code, error.message, error.field)


def write_failure(failed: Failed) -> bytes:
    """What tells that an answer failed: a body, or the data of a stream's last frame."""
    return _write(failed.status, failed.code, failed.message, failed.field)


def explain_fault(error: ValidationError) -> RequestError:
    """The first fault of a body: 400, with the place of what is wrong."""
    return explain_as_vendors(error, write_place=in_brackets, code_of=_code_of)


def _code_of(kind: str) -> str:
    return _FAULTS.get(kind, "invalid_type" if kind.endswith("_type") else "invalid_value")


def _write(status: int, code: str, message: str, field: str | None) -> bytes:
    code = _CODES.get(code, code)
    param = None if field is None else in_brackets(field)
    return json_bytes({"error": {"message": message, "type": _kind(status, code), "param": param, "code": code}})


def _kind(status: int, code: str) -> str:
    """The type; OpenAI's answers with 401, 403 and 404 have that of a bad request too."""
    if code == "insufficient_quota":
        return code
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
