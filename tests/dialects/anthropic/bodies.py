"""Bodies as Anthropic's clients send them, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import MessageParam

from tailrace.dialects import ANTHROPIC, Call
from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, Message, Native

ASK: MessageParam = {"role": "user", "content": "Hi"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}}
CALLED = {"role": "assistant", "content": [CALL]}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Seen."}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
TOOL = {"name": "look", "input_schema": SCHEMA}
CACHED = {"type": "ephemeral", "ttl": "1h"}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Tides."}, "title": "T"}


def body(*messages: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 5, "messages": messages or [ASK], **fields}).encode()


def parsed(*messages: Any, **fields: Any) -> Call:
    return ANTHROPIC.parse(body(*messages, **fields))


def asked(**fields: Any) -> ChatRequest:
    """The request that a body with a message and these fields makes."""
    return parsed(**fields).request


def told(*messages: Any) -> tuple[Message, ...]:
    """The conversation that a body with these messages makes."""
    return parsed(*messages).request.messages


def said(*blocks: Any) -> tuple[Any, ...]:
    """The parts that a user's turn with these blocks makes."""
    return told({"role": "user", "content": blocks})[0].parts


def refused(sent: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        ANTHROPIC.parse(sent)
    assert caught.value.status == 400
    return caught.value


def native(needs: dict[str, Any] | None = None, hints: dict[str, Any] | None = None) -> Native:
    return Native(format="anthropic", needs=needs or {}, hints=hints or {})
