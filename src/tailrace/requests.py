"""What is asked of a model, in no vendor's words: a dialect parses into it, a provider writes from it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class _Value(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    pass


class Text(_Value, frozen=True, kw_only=True, tag="text"):
    """Plain text."""

    text: str


class Image(_Value, frozen=True, kw_only=True, tag="image"):
    """An image: either base64 `data` with its `media_type`, or a `url` that only the upstream may fetch."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    detail: str | None = None


class Reasoning(_Value, frozen=True, kw_only=True, tag="reasoning"):
    """Reasoning from an earlier answer, with the vendor's signature so that it can be handed back."""

    text: str
    signature: str | None = None


class ToolCall(_Value, frozen=True, kw_only=True, tag="tool_call"):
    """A call that the assistant made; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class ToolResult(_Value, frozen=True, kw_only=True, tag="tool_result"):
    """What the tool answered to the call `id`."""

    id: str
    content: tuple[Text | Image, ...]
    is_error: bool = False


Part: TypeAlias = Text | Image | Reasoning | ToolCall | ToolResult


class Message(_Value, frozen=True, kw_only=True, tag="message"):
    """One turn of the conversation."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        """The message's text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Tool(_Value, frozen=True, kw_only=True, tag="tool"):
    """A function that the model may call; `parameters` is its JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(_Value, frozen=True, kw_only=True, tag="response_format"):
    """JSON output: any object when `schema` is None, else JSON that obeys it."""

    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ChatRequest(_Value, frozen=True, kw_only=True, tag="chat"):
    """One chat request. None means: not said, so the upstream's own default holds.

    `tool_choice` is "auto", "none", "required" or the name of one tool as ("tool", name). `extra` holds
    fields of the client's own format that only an upstream of the same format understands.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] | tuple[Literal["tool"], str] | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    extra: dict[str, Any] = {}

    def last_user_text(self) -> str:
        """The text of the last user message, or an empty string."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")


def user_message(text: str) -> Message:
    """A user's turn of plain text."""
    return Message(role="user", parts=(Text(text=text),))
