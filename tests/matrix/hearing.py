"""What each kind of upstream was asked, read from the request that it got."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from tests.matrix.conversation import Heard

_DATA_URL: Final = "data:image/png;base64,"


def hear_openai(body: dict[str, Any]) -> Heard:
    """A chat completion."""
    messages = body["messages"]
    users = [_parts(message) for message in messages if message["role"] == "user"]
    answers = [message for message in messages if message["role"] == "assistant"]
    results = [message for message in messages if message["role"] == "tool"]
    calls = [(call["id"], call["function"]) for answer in answers for call in answer.get("tool_calls") or ()]
    return Heard(
        system="".join(_joined(message["content"]) for message in messages if message["role"] == "system"),
        users=tuple(_texts(parts) for parts in users),
        images=tuple(_bare(part["image_url"]["url"]) for parts in users for part in parts if "image_url" in part),
        calls=tuple((call_id, function["name"], json.loads(function["arguments"])) for call_id, function in calls),
        results=tuple((message["tool_call_id"], _joined(message["content"])) for message in results),
        thoughts=tuple((said, None) for answer in answers if (said := answer.get("reasoning_content"))),
        said=tuple(_joined(answer.get("content") or "") for answer in answers),
        tools=tuple(tool["function"]["name"] for tool in body.get("tools", ())),
        stop=_listed(body.get("stop")),
        schema=body.get("response_format", {}).get("json_schema", {}).get("schema"),
        limit=body.get("max_tokens") or body.get("max_completion_tokens"),
    )


def hear_responses(body: dict[str, Any]) -> Heard:
    """A request for a response."""
    items = body["input"]
    of = {kind: [item for item in items if item.get("type", "message") == kind] for kind in _kinds(items)}
    users = [_parts(item) for item in of.get("message", ()) if item["role"] == "user"]
    return Heard(
        system=body.get("instructions", ""),
        users=tuple(_texts(parts) for parts in users),
        images=tuple(_bare(part["image_url"]) for parts in users for part in parts if "image_url" in part),
        calls=tuple(
            (item["call_id"], item["name"], json.loads(item["arguments"])) for item in of.get("function_call", ())
        ),
        results=tuple((item["call_id"], _joined(item["output"])) for item in of.get("function_call_output", ())),
        thoughts=tuple(
            ("\n\n".join(part["text"] for part in item["summary"] or item["content"]), item.get("encrypted_content"))
            for item in of.get("reasoning", ())
        ),
        said=tuple(_joined(item["content"]) for item in of.get("message", ()) if item["role"] == "assistant"),
        tools=tuple(tool["name"] for tool in body.get("tools", ())),
        schema=body.get("text", {}).get("format", {}).get("schema"),
        limit=body.get("max_output_tokens"),
    )


def hear_anthropic(body: dict[str, Any]) -> Heard:
    """A message."""
    blocks = [(turn["role"], block) for turn in body["messages"] for block in _parts(turn)]
    of = {kind: [block for _, block in blocks if block["type"] == kind] for kind in _kinds(b for _, b in blocks)}
    return Heard(
        system=_joined(body.get("system", "")),
        users=tuple(block["text"] for role, block in blocks if role == "user" and block["type"] == "text"),
        images=tuple(block["source"]["data"] for block in of.get("image", ())),
        calls=tuple((block["id"], block["name"], block["input"]) for block in of.get("tool_use", ())),
        results=tuple((block["tool_use_id"], _joined(block["content"])) for block in of.get("tool_result", ())),
        thoughts=(
            *((block["thinking"], block["signature"]) for block in of.get("thinking", ())),
            *(("", block["data"]) for block in of.get("redacted_thinking", ())),
        ),
        said=tuple(block["text"] for role, block in blocks if role == "assistant" and block["type"] == "text"),
        tools=tuple(tool["name"] for tool in body.get("tools", ())),
        stop=_listed(body.get("stop_sequences")),
        schema=body.get("output_config", {}).get("format", {}).get("schema"),
        limit=body["max_tokens"],
    )


def hear_ollama(body: dict[str, Any]) -> Heard:
    """A chat."""
    messages = body["messages"]
    of = {role: [message for message in messages if message["role"] == role] for role in _kinds(messages, "role")}
    calls = [call for message in of.get("assistant", ()) for call in message.get("tool_calls", ())]
    options = body.get("options", {})
    return Heard(
        system="".join(message["content"] for message in of.get("system", ())),
        users=tuple(message["content"] for message in of.get("user", ())),
        images=tuple(image for message in of.get("user", ()) for image in message.get("images", ())),
        calls=tuple((call.get("id"), call["function"]["name"], call["function"]["arguments"]) for call in calls),
        results=tuple((message.get("tool_call_id"), message["content"]) for message in of.get("tool", ())),
        thoughts=tuple((said, None) for message in of.get("assistant", ()) if (said := message.get("thinking"))),
        said=tuple(message["content"] for message in of.get("assistant", ())),
        tools=tuple(tool["function"]["name"] for tool in body.get("tools", ())),
        stop=_listed(options.get("stop")),
        schema=body.get("format"),
        limit=options.get("num_predict"),
    )


def hear_langchain(messages: list[BaseMessage], options: dict[str, Any]) -> Heard:
    """The call of a chat model."""
    users = [message.content_blocks for message in messages if isinstance(message, HumanMessage)]
    answers = [message for message in messages if isinstance(message, AIMessage)]
    return Heard(
        system="".join(str(message.content) for message in messages if isinstance(message, SystemMessage)),
        users=tuple("".join(block["text"] for block in blocks if block["type"] == "text") for blocks in users),
        images=tuple(block["base64"] for blocks in users for block in blocks if block["type"] == "image"),
        calls=tuple((call["id"], call["name"], call["args"]) for answer in answers for call in answer.tool_calls),
        results=tuple(
            (message.tool_call_id, str(message.content)) for message in messages if isinstance(message, ToolMessage)
        ),
        said=tuple(str(answer.content) for answer in answers),
        tools=tuple(tool["function"]["name"] for tool in options.get("tools", ())),
        stop=_listed(options.get("stop")),
        limit=options.get("max_tokens"),
    )


HEARINGS: Final[dict[str, Callable[[dict[str, Any]], Heard]]] = {
    "openai": hear_openai,
    "openai_responses": hear_responses,
    "anthropic": hear_anthropic,
    "ollama": hear_ollama,
}
"""Those who are asked over HTTP."""


def _kinds(items: Iterable[dict[str, Any]], key: str = "type") -> set[str]:
    return {item.get(key, "message") for item in items}


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _texts(parts: list[dict[str, Any]]) -> str:
    return "".join(part.get("text", "") for part in parts)


def _joined(content: Any) -> str:
    return content if isinstance(content, str) else _texts(content)


def _listed(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _bare(url: str) -> str:
    assert url.startswith(_DATA_URL)
    return url.removeprefix(_DATA_URL)
