"""OpenAI's error objects, in an HTTP answer and in a stream.

The format: https://platform.openai.com/docs/guides/error-codes.
"""

from __future__ import annotations

import re
from typing import Final

from tailrace.dialects.base import json_bytes
from tailrace.errors import RequestError
from tailrace.events import Failed

# The codes that OpenAI's clients look for, where it has its own word.
_CODES: Final = {
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "too_many_streams": "rate_limit_exceeded",
    "budget_exceeded": "insufficient_quota",
}
_INDEX: Final = re.compile(r"\.(\d+)(?=\.|$)", re.ASCII)


def write_refusal(error: RequestError) -> bytes:
    """A refusal's body."""
    return _write(error.status, error.code, error.message, None if error.field is None else write_param(error.field))


def write_failure(failed: Failed) -> bytes:
    """What tells that an answer failed: a body, or the data of a stream's last frame."""
    return _write(failed.status, failed.code, failed.message, None)


def write_param(field: str) -> str:
    """A place in a body as OpenAI writes it: `messages.0.content` as `messages[0].content`."""
    return _INDEX.sub(r"[\1]", field)


def _write(status: int, code: str, message: str, param: str | None) -> bytes:
    code = _CODES.get(code, code)
    return json_bytes({"error": {"message": message, "type": _kind(status, code), "param": param, "code": code}})


def _kind(status: int, code: str) -> str:
    """The type; OpenAI's answers with 401, 403 and 404 have that of a bad request too."""
    if code == "insufficient_quota":
        return code
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
