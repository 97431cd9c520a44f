"""Bodies as a client sends them, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tailrace.dialects import Call
from tailrace.dialects.body import (
    parse_body,
)
from tailrace.errors import RequestError
from tailrace.requests import (
    ChatRequest,
    Message,
)

ASK = {"message": "Hi"}


def parsed(**fields: Any) -> Call:
    return parse_body(json.dumps(fields).encode())


def asked(**fields: Any) -> ChatRequest:
    """The request that a body with a message and these fields makes."""
    return parsed(message="Hi", **fields).request


def told(*messages: dict[str, Any], **fields: Any) -> tuple[Message, ...]:
    """The conversation that a body with these messages makes."""
    return parsed(messages=list(messages), **fields).request.messages


def refused(parse: Callable[..., object], *arguments: Any, **options: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse(*arguments, **options)
    return caught.value
