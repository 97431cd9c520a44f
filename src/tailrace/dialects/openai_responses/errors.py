"""OpenAI's error objects where a response failed.

The format: https://platform.openai.com/docs/api-reference/responses/object#responses/object-error.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tailrace.dialects.faults import find_place
from tailrace.dialects.openai_chat import errors
from tailrace.events import Failed

_TOO_MANY: Final = 429

# What this format calls the places that tailrace names by chat completions' words.
_PLACES: Final = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
}


def write_failure(failed: Failed) -> bytes:
    """What tells that an answer failed."""
    return errors.write_failure(msgspec.structs.replace(failed, field=find_place(failed.field, _PLACES)))


def event_error(failed: Failed) -> dict[str, Any]:
    """The fields of a stream's `error`: as OpenAI's API reference has them, and as OpenAI's servers send them.

    Its clients raise for those alone that have an object named `error`.
    """
    error: dict[str, Any] = msgspec.json.decode(write_failure(failed))["error"]
    return {"code": error["code"], "message": error["message"], "param": error["param"], "error": error}


def response_error(failed: Failed) -> dict[str, str]:
    """A response's `error`, whose codes are OpenAI's own few."""
    return {"code": _code(failed.status), "message": failed.message}


def _code(status: int) -> str:
    if status == _TOO_MANY:
        return "rate_limit_exceeded"
    return "server_error" if status >= 500 or status < 400 else "invalid_prompt"
