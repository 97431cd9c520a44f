"""What a LangChain Runnable takes, and a request as that. Imports langchain-core, so it is itself imported late.

A chat model takes messages. Any other Runnable gets what its input schema asks for:
- a string: the text of the last user message
- an object with one text key ("input", "question", whatever its name): that text under it; under a key for a list,
  such as a prompt's `MessagesPlaceholder`, the turns before it
- an object with a list and no text, as `{"messages": [...]}`: all messages there
- an object whose keys are not told: the text under "input"
- anything else, nothing said, or a schema that LangChain can't tell: the list of all messages
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import structlog
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import Runnable

from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, Image, Message, Text, ToolCall, ToolResult

_log = structlog.get_logger(__name__)


class InputShape(msgspec.Struct, frozen=True, kw_only=True):
    """What a Runnable takes: the last user text, messages, or an object with either under a key."""

    text: bool = False
    text_key: str | None = None
    messages_key: str | None = None

    def fill(self, request: ChatRequest) -> Any:
        if self.text:
            return _user_text(request.messages[_turn(request)])
        if self.text_key is None and self.messages_key is None:
            return _messages(request.messages)
        return self._fields(request)

    def _fields(self, request: ChatRequest) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        before = len(request.messages)
        if self.text_key is not None:
            before = _turn(request)
            fields[self.text_key] = _user_text(request.messages[before])
        if self.messages_key is not None:
            fields[self.messages_key] = _messages(request.messages[:before])
        return fields


MESSAGES: Final = InputShape()


def infer_shape(runnable: Runnable[Any, Any]) -> InputShape:
    """What the Runnable's input schema asks for. Raises TypeError where that is nothing that a chat can fill."""
    try:
        schema = runnable.get_input_jsonschema()
    except Exception as error:
        # LangChain can't resolve the annotations of every function that it wraps.
        _log.warning("input_schema_unreadable", error=str(error), effect="the runnable gets the list of all messages")
        return MESSAGES
    return _shape_of(_resolved(schema, schema))


def unsupported(field: str, why: str) -> RequestError:
    """The error for something that a Runnable can't be asked."""
    return RequestError(400, "unsupported", f"{field}: {why}", field=field)


def _shape_of(schema: dict[str, Any]) -> InputShape:
    match schema.get("type"):
        case "string":
            return InputShape(text=True)
        case "object":
            return _object_shape(schema)
        case "array" | None:
            return MESSAGES
        case other:
            raise TypeError(f"its input is of type {other!r}, which no chat fits")


def _object_shape(schema: dict[str, Any]) -> InputShape:
    properties = {key: _resolved(value, schema) for key, value in schema.get("properties", {}).items()}
    if not properties:
        return InputShape(text_key="input")
    # A RunnableParallel of untyped parts describes its one input as the property "root".
    if properties.keys() == {"root"}:
        return InputShape(text=True)
    required = schema.get("required") or [*properties]
    lists = [key for key, value in properties.items() if value.get("type") == "array"]
    texts = [key for key in required if key not in lists]
    if len(texts) > 1 or len([key for key in lists if key in required]) > 1:
        keys = ", ".join(map(repr, required))
        raise TypeError(f"its input needs the keys {keys}; a chat fills one with text and one with messages")
    lists.sort(key=lambda key: key not in required)
    return InputShape(text_key=texts[0] if texts else None, messages_key=lists[0] if lists else None)


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    definition = root.get("$defs", {}).get(reference.rsplit("/", 1)[-1], {})
    return {**definition, "$defs": root.get("$defs", {})}


def _turn(request: ChatRequest) -> int:
    """Where the last user message is."""
    for index in range(len(request.messages) - 1, -1, -1):
        if request.messages[index].role == "user":
            return index
    raise unsupported("messages", "the runnable takes the text of a user message, and there is none")


def _user_text(message: Message) -> str:
    if any(isinstance(part, Image) for part in message.parts):
        raise unsupported("messages", "the runnable takes text alone, and there is an image")
    return message.text


def _messages(messages: Sequence[Message]) -> list[BaseMessage]:
    return [converted for index, message in enumerate(messages) for converted in _converted(message, index)]


def _converted(message: Message, index: int) -> Iterator[BaseMessage]:
    """A tool's result is a message of its own in LangChain; reasoning is not handed back, integrations differ on it."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    yield from map(_tool_message, results)
    content = _content(message.parts)
    match message.role:
        case "system":
            yield SystemMessage(content, name=message.name)
        case "assistant":
            calls = [_tool_call(part, index) for part in message.parts if isinstance(part, ToolCall)]
            yield AIMessage(content, name=message.name, tool_calls=calls)
        case "user" | "tool" if content or not results:
            yield HumanMessage(content, name=message.name)


def _tool_message(result: ToolResult) -> ToolMessage:
    status = "error" if result.is_error else "success"
    return ToolMessage(_content(result.content), tool_call_id=result.id, status=status)


def _content(parts: Sequence[object]) -> str | list[str | dict[Any, Any]]:
    """Plain text where there is nothing else, so that models of text alone can read it."""
    kept = [part for part in parts if isinstance(part, Text | Image)]
    if not any(isinstance(part, Image) for part in kept):
        return "".join(part.text for part in kept if isinstance(part, Text))
    return [_block(part) for part in kept]


def _block(part: Text | Image) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.data is None:
        # Some integrations would fetch the address themselves, from inside this machine's network.
        raise unsupported("messages", "an image must come as data, not as a URL")
    image = {"url": f"data:{part.media_type};base64,{part.data}"}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _tool_call(call: ToolCall, index: int) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        message = f"the arguments of the tool call {call.id!r} must be a JSON object: {error}"
        raise RequestError(400, "invalid_arguments", message, field=f"messages[{index}]") from error
    return {"type": "tool_call", "id": call.id, "name": call.name, "args": arguments}
