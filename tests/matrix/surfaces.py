"""The surfaces, what is a right request to each, and what is wrong in many."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
from tests.matrix.client import IMAGE_URL
from tests.matrix.conversation import PNG
from tests.reader import Answer

PLAIN: Final = "plain/parrot"
"""A chain of text alone, which takes no image."""
RESPONSES: Final = "responses/m"
QUESTION: Final = [{"role": "user", "content": "Hi"}]
RESULT: Final = {"role": "tool", "tool_call_id": "c", "content": "x"}
BAD_SCHEMA: Final = {"type": "json_schema", "json_schema": {"name": "a", "schema": "none"}}
CHAT: Final[dict[str, Any]] = {"model": "simulated", "messages": QUESTION}
UI: Final[dict[str, Any]] = {
    "model": "simulated",
    "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}],
}
PICTURE: Final = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
SOURCE: Final = {"type": "base64", "media_type": "image/png", "data": PNG}
FILE: Final = {"type": "file", "mediaType": "image/png", "url": IMAGE_URL}
CALLED: Final = {"type": "tool-look", "toolCallId": "c", "state": "input-available", "input": {}}


class Surface(msgspec.Struct, frozen=True):
    """Where to ask, a request that is right, and for each fault what to change and which place is to be named."""

    path: str
    right: dict[str, Any]
    faults: dict[str, tuple[dict[str, Any], str]]
    told: Callable[[Answer], tuple[str | None, str]]
    """What an error says: the place, where the shape has one for it, and the words, which else begin with it."""
    status: int = 400


def of_openai(refused: Answer) -> tuple[str | None, str]:
    error = json.loads(refused.body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return error["param"], error["message"]


def of_anthropic(refused: Answer) -> tuple[str | None, str]:
    body = json.loads(refused.body)
    assert (body["type"], body.keys()) == ("error", {"type", "error", "request_id"})
    assert body["error"]["type"] in ("invalid_request_error", "not_found_error")
    return None, body["error"]["message"]


def of_ollama(refused: Answer) -> tuple[str | None, str]:
    body = json.loads(refused.body)
    assert body.keys() == {"error"}
    return None, body["error"]


def of_own(refused: Answer) -> tuple[str | None, str]:
    assert refused.headers["content-type"] == "application/problem+json"
    problem = json.loads(refused.body)
    assert (problem["status"], bool(problem["code"])) == (refused.status, True)
    return problem["field"], problem["detail"]


def _pictured(picture: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [picture]}]


SURFACES: Final = {
    "chat completions": Surface(
        "/v1/chat/completions",
        CHAT,
        {
            "model": ({"model": "nope"}, "model"),
            "empty": ({"messages": []}, "messages"),
            "result": ({"messages": [*QUESTION, RESULT]}, "messages[1].tool_call_id"),
            "image": ({"model": PLAIN, "messages": _pictured(PICTURE)}, "messages"),
            "schema": ({"response_format": BAD_SCHEMA}, "response_format.json_schema.schema"),
            "stop": ({"model": RESPONSES, "stop": "END"}, "stop"),
            "upstream": ({"model": "openai/m"}, "messages[0].content"),
        },
        of_openai,
    ),
    "responses": Surface(
        "/v1/responses",
        {"model": "simulated", "input": "Hi"},
        {
            "model": ({"model": "nope"}, "model"),
            "empty": ({"input": []}, "input"),
            "result": (
                {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
                "input[0].call_id",
            ),
            "image": ({"model": PLAIN, "input": _pictured({"type": "input_image", "image_url": IMAGE_URL})}, "input"),
            "schema": (
                {"text": {"format": {"type": "json_schema", "name": "a", "schema": "none"}}},
                "text.format.schema",
            ),
            "upstream": ({"model": "openai/m"}, "input"),
        },
        of_openai,
    ),
    "messages": Surface(
        "/v1/messages",
        {**CHAT, "max_tokens": 9},
        {
            "model": ({"model": "nope"}, "model"),
            "empty": ({"messages": []}, "messages"),
            "result": (
                {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]}]},
                "messages.0.content.0.tool_use_id",
            ),
            "image": ({"model": PLAIN, "messages": _pictured({"type": "image", "source": SOURCE})}, "messages"),
            "schema": (
                {"output_config": {"format": {"type": "json_schema", "schema": "none"}}},
                "output_config.format.schema",
            ),
            "stop": ({"model": RESPONSES, "stop_sequences": ["END"]}, "stop_sequences"),
            "upstream": ({"model": "openai/m"}, "messages"),
        },
        of_anthropic,
    ),
    "ollama": Surface(
        "/api/chat",
        CHAT,
        {
            "model": ({"model": "nope"}, "model"),
            "result": ({"messages": [*QUESTION, {"role": "tool", "content": "x"}]}, "messages[1]"),
            "image": ({"model": PLAIN, "messages": [{"role": "user", "content": "", "images": [PNG]}]}, "messages"),
            "schema": ({"format": "none"}, "format"),
            "stop": ({"model": RESPONSES, "options": {"stop": ["END"]}}, "options.stop"),
            "upstream": ({"model": "openai/m"}, "messages"),
        },
        of_ollama,
    ),
    "ai sdk": Surface(
        "/ai-sdk/chat",
        UI,
        {
            "model": ({"model": "nope"}, "model"),
            "empty": ({"messages": []}, "messages"),
            "result": ({"messages": [{"role": "assistant", "parts": [CALLED]}]}, "messages.0.parts.0.state"),
            "image": ({"model": PLAIN, "messages": [{"role": "user", "parts": [FILE]}]}, "messages"),
            "schema": ({"response_format": BAD_SCHEMA}, "response_format.json_schema.schema"),
            "stop": ({"model": RESPONSES, "stop": "END"}, "stop"),
        },
        of_own,
        status=422,
    ),
    "own": Surface(
        "/v1/chat",
        CHAT,
        {
            "model": ({"model": "nope"}, "model"),
            "empty": ({"messages": []}, "messages"),
            "result": ({"messages": [*QUESTION, RESULT]}, "messages.1.tool_call_id"),
            "image": ({"model": PLAIN, "messages": _pictured(PICTURE)}, "messages"),
            "schema": ({"response_format": BAD_SCHEMA}, "response_format.json_schema.schema"),
            "stop": ({"model": RESPONSES, "stop": "END"}, "stop"),
            "upstream": ({"model": "openai/m"}, "messages[0].content"),
        },
        of_own,
        status=422,
    ),
}
"""To Ollama no messages are a wish to have the model loaded. The upstream of `openai/m` blames a place of its own."""
