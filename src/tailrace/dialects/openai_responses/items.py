"""The items of a request's input, and the messages that they come to.

The format: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.content import read_content
from tailrace.dialects.openai_chat.parts import LenientModel
from tailrace.dialects.openai_responses.content import ContentBody
from tailrace.dialects.openai_responses.encrypted import decrypt
from tailrace.dialects.openai_responses.natives import OtherBody
from tailrace.dialects.openai_responses.verbatim import join_items, restore_item, split_items
from tailrace.errors import RequestError
from tailrace.requests import Message, Role, Text, ToolCall, ToolResult

_PARTS_OF: Final = {
    "system": ("input_text",),
    "developer": ("input_text",),
    "user": ("input_text", "input_image"),
    "assistant": ("output_text", "input_text", "refusal"),
}


class MessageItem(LenientModel):
    """One turn."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: ContentBody

    @field_validator("content")
    @classmethod
    def _keep_to_the_role(cls, content: ContentBody, info: ValidationInfo) -> ContentBody:
        role: str = info.data.get("role", "")
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, OtherBody) and part.type not in _PARTS_OF.get(role, (part.type,)):
                told = "a message of the role {role} takes no part of the type {type}"
                raise PydanticCustomError("invalid_value", told, {"role": role, "type": part.type})
        return content

    def to_message(self) -> Message:
        """The same in tailrace's own words."""
        role: Role = "system" if self.role == "developer" else self.role
        return Message(role=role, parts=read_content(self.content))


class FunctionCallItem(LenientModel):
    """A call that the model made in an earlier answer."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    arguments: str

    def to_message(self) -> Message:
        """The same in tailrace's own words."""
        call = ToolCall(id=self.call_id, name=self.name, arguments=self.arguments)
        return Message(role="assistant", parts=(call,))


class FunctionOutputItem(LenientModel):
    """What the client's function answered."""

    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1)
    output: ContentBody

    def to_message(self) -> Message:
        """The same in tailrace's own words."""
        return Message(role="tool", parts=(ToolResult(id=self.call_id, content=read_content(self.output)),))


class ReasoningText(LenientModel):
    """A piece of reasoning, or of its summary."""

    type: Literal["summary_text", "reasoning_text"]
    text: str


class ReasoningInput(LenientModel):
    """The model's reasoning in an earlier answer."""

    type: Literal["reasoning"]
    summary: list[ReasoningText] = Field(default=[])
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None

    def to_message(self) -> Message:
        """The same in tailrace's own words."""
        text = "\n\n".join(piece.text for piece in self.summary or self.content or ())
        if not text and self.encrypted_content is None:
            return Message(role="assistant", parts=())
        return Message(role="assistant", parts=(decrypt(text, self.encrypted_content),))


class ItemReference(LenientModel):
    """An item of a stored response, by its id."""

    type: Literal["item_reference"] | None = None
    id: str = Field(min_length=1)


class OtherItem(OtherBody):
    """What OpenAI's servers made or ask for, such as a search: only an upstream of this format knows what it is."""

    def to_message(self) -> Message:
        """The same in tailrace's own words."""
        return Message(role="assistant", parts=(self.to_part(),))


_KNOWN: Final = ("message", "function_call", "function_call_output", "reasoning", "item_reference")


def _kind_of(item: object) -> str | None:
    match item:
        case {"type": str(kind)}:
            return kind
        case {"role": _}:
            return "message"
        case {"id": _}:
            return "item_reference"
        case _:
            return None


def _branch(item: object) -> str | None:
    kind = _kind_of(item)
    return f"<{kind}>" if kind is None or kind in _KNOWN else "<other>"


ItemBody: TypeAlias = Annotated[
    Annotated[MessageItem, Tag("<message>")]
    | Annotated[FunctionCallItem, Tag("<function_call>")]
    | Annotated[FunctionOutputItem, Tag("<function_call_output>")]
    | Annotated[ReasoningInput, Tag("<reasoning>")]
    | Annotated[ItemReference, Tag("<item_reference>")]
    | Annotated[OtherItem, Tag("<other>")],
    Discriminator(
        _branch,
        custom_error_type="invalid_value",
        custom_error_message="Input should be an object with a type, such as message, or with a role",
    ),
]


def _branch_of_input(value: object) -> str | None:
    match value:
        case str():
            return "<text>"
        case list():
            return "<items>"
        case _:
            return None


InputBody: TypeAlias = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[ItemBody], Field(min_length=1), Tag("<items>")],
    Discriminator(
        _branch_of_input,
        custom_error_type="input_type",
        custom_error_message="Input should be a string or an array of items",
    ),
]


def references_in(asked: str | Sequence[ItemBody] | None) -> list[str]:
    """The ids of the items that the input refers to."""
    items = () if asked is None or isinstance(asked, str) else asked
    return [item.id for item in items if isinstance(item, ItemReference)]


def write_messages(
    asked: str | Sequence[ItemBody] | None, written: msgspec.Raw | None, found: Mapping[str, Message]
) -> tuple[Message, ...]:
    """The input as messages, each with its items as `written`; `found` has what the references stand for.

    Raises RequestError 404 for the others.
    """
    if asked is None:
        return ()
    if isinstance(asked, str):
        verbatim = None if written is None else msgspec.Raw(b'[{"role":"user","content":%b}]' % bytes(written))
        return (Message(role="user", parts=(Text(text=asked),), verbatim=verbatim),)
    items = [None] * len(asked) if written is None else split_items(written)
    return join_turns(
        _resolve(item, raw, found, place) for place, (item, raw) in enumerate(zip(asked, items, strict=True))
    )


def _resolve(item: ItemBody, raw: msgspec.Raw | None, found: Mapping[str, Message], place: int) -> Message:
    if not isinstance(item, ItemReference):
        return msgspec.structs.replace(item.to_message(), verbatim=None if raw is None else restore_item(raw))
    if item.id not in found:
        param = f"input.{place}"
        told = f"Item with id '{item.id[:80]}' not found. Items of responses with store: false are not kept."
        raise RequestError(404, "item_not_found", told, field=param)
    return found[item.id]


def join_turns(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages, what the assistant said in one go as one: vendors want a turn's calls together.

    Two texts of the assistant's in a row stay two turns.
    """
    joined: list[Message] = []
    for message in messages:
        last = joined[-1] if joined else None
        if not message.parts and (message.verbatim is None or message.role != "assistant"):
            continue
        if last is not None and last.role == message.role == "assistant" and not _are_texts(last, message):
            joined[-1] = _join(last, message)
        else:
            joined.append(message)
    return tuple(joined)


def _are_texts(earlier: Message, later: Message) -> bool:
    return isinstance((earlier.parts or (None,))[-1], Text) and isinstance((later.parts or (None,))[0], Text)


def _join(earlier: Message, later: Message) -> Message:
    verbatim = None
    if earlier.verbatim is not None and later.verbatim is not None:
        verbatim = join_items(earlier.verbatim, later.verbatim)
    return msgspec.structs.replace(earlier, parts=(*earlier.parts, *later.parts), verbatim=verbatim)


def check_calls(asked: str | Sequence[ItemBody] | None, messages: Sequence[Message]) -> None:
    """Raise RequestError 400 for an output without its call, and for a call without its output."""
    called = {call.id for message in messages for call in _calls_of(message)}
    if isinstance(asked, list):
        for place, item in enumerate(asked):
            if isinstance(item, FunctionOutputItem) and item.call_id not in called:
                told = f"No tool call found for function call output with call_id {item.call_id[:80]}."
                raise RequestError(400, "invalid_value", told, field=f"input.{place}.call_id")
    answered = {part.id for message in messages for part in message.parts if isinstance(part, ToolResult)}
    for call in (call for message in messages for call in _calls_of(message) if call.id not in answered):
        told = f"No tool output found for function call {call.id[:80]}."
        raise RequestError(400, "invalid_value", told, field="input")


def _calls_of(message: Message) -> Iterator[ToolCall]:
    return (part for part in message.parts if isinstance(part, ToolCall))
