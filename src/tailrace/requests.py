"""What is asked of a model, in no vendor's words: a dialect parses into it, a provider writes from it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class _Value(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    pass


class Native(_Value, frozen=True, kw_only=True, tag="native"):
    """What a client said in its own format, and no word here says.

    `format` is the `kind` of the providers that understand it: they get it as it was said. Of any other an upstream
    does without the `hints`, and the request is refused for what it `needs`.
    """

    format: str
    needs: dict[str, Any] = {}
    hints: dict[str, Any] = {}

    def said(self, format: str) -> dict[str, Any]:  # noqa: A002 - the word that the field uses
        """All of it where this is its format, else nothing."""
        return {**self.needs, **self.hints} if self.format == format else {}


class Text(_Value, frozen=True, kw_only=True, tag="text"):
    """Plain text."""

    text: str
    native: Native | None = None


class Image(_Value, frozen=True, kw_only=True, tag="image"):
    """An image: either base64 `data` with its `media_type`, or a `url` that only the upstream may fetch."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    detail: str | None = None
    native: Native | None = None


class Reasoning(_Value, frozen=True, kw_only=True, tag="reasoning"):
    """Reasoning from an earlier answer, with the vendor's signature so that it can be handed back.

    `redacted` is what the vendor gave in the text's place where it does not show it.
    """

    text: str
    signature: str | None = None
    redacted: str | None = None


class ToolCall(_Value, frozen=True, kw_only=True, tag="tool_call"):
    """A call that the assistant made; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str
    native: Native | None = None


class ToolResult(_Value, frozen=True, kw_only=True, tag="tool_result"):
    """What the tool answered to the call `id`."""

    id: str
    content: tuple[Text | Image | Native, ...]
    is_error: bool = False
    native: Native | None = None


Part: TypeAlias = Text | Image | Reasoning | ToolCall | ToolResult | Native


class Message(_Value, frozen=True, kw_only=True, tag="message"):
    """One turn of the conversation; `verbatim` is its JSON, where an upstream may get it as the client wrote it.

    Of OpenAI's Responses that is the list of its items.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    verbatim: msgspec.Raw | None = None

    @property
    def text(self) -> str:
        """The message's text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Tool(_Value, frozen=True, kw_only=True, tag="tool"):
    """A function that the model may call; `parameters` is its JSON Schema.

    A tool of a vendor's own, such as a search that it runs itself, is told in `native` alone, with its `type`.
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    native: Native | None = None


class ResponseFormat(_Value, frozen=True, kw_only=True, tag="response_format"):
    """JSON output: any object when `schema` is None, else JSON that obeys it; `description` says what it is for."""

    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ChatRequest(_Value, frozen=True, kw_only=True, tag="chat"):
    """One chat request. None means: not said, so the upstream's own default holds.

    `tool_choice` is "auto", "none", "required" or the name of one tool as ("tool", name). `extra` holds
    fields of the client's own format that only an upstream of the same format understands. `native` too, but it says
    which format that is; what it holds comes before what the words here say of the same. `verbatim` are the fields
    that came in that format, each as the client wrote it, without the model, the messages and what is tailrace's own.
    `reads` is the kind of the providers whose answers the client takes as they come; empty where there is none.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
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
    native: Native | None = None
    verbatim: dict[str, msgspec.Raw] | None = None
    reads: str = ""

    def is_native(self, kind: str) -> bool:
        """Whether the client spoke the format of this kind of providers."""
        return self.native is not None and self.native.format == kind

    def last_user_text(self) -> str:
        """The text of the last user message, or an empty string."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")


def user_message(text: str) -> Message:
    """A user's turn of plain text."""
    return Message(role="user", parts=(Text(text=text),))
