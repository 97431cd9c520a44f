"""The turns of a conversation, and what must hold between them.

The format: https://platform.claude.com/docs/en/api/messages/create.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Tag

from tailrace.dialects.anthropic.content import BlockBody, ContentBody, TextBlock, ToolResultBlock, ToolUseBlock
from tailrace.dialects.content import branch_of_content
from tailrace.errors import RequestError
from tailrace.requests import Message, Part, Text


class MessageBody(BaseModel):
    """One turn. A `system` turn stays in its place for upstreams that have one there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["user", "assistant", "system"]
    content: ContentBody

    @property
    def blocks(self) -> Sequence[BlockBody]:
        """The content, text alone as a block of it."""
        return [TextBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content

    def to_message(self) -> Message:
        """The same in tailrace's own words."""
        parts: tuple[Part, ...] = tuple(block.to_part() for block in self.blocks)
        return Message(role=self.role, parts=parts)


SystemBody: TypeAlias = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[TextBlock], Tag("<parts>")],
    Discriminator(
        branch_of_content,
        custom_error_type="content_type",
        custom_error_message="Input should be a string or an array of text blocks",
    ),
]


def read_system(system: str | list[TextBlock] | None) -> Iterator[Message]:
    """The system prompt as a message, where there is one."""
    match system:
        case None | "" | []:
            return
        case str(text):
            yield Message(role="system", parts=(Text(text=text),))
        case blocks:
            yield Message(role="system", parts=tuple(block.to_part() for block in blocks))


# What a turn of each role may not hold; whatever else comes is for the upstream to judge.
_OTHERS: Final = {
    "user": frozenset({"thinking", "redacted_thinking", "tool_use"}),
    "assistant": frozenset({"image", "tool_result"}),
    "system": frozenset({"image", "tool_result", "thinking", "redacted_thinking", "tool_use"}),
}


def check_turns(messages: Sequence[MessageBody], *, with_history: bool) -> None:
    """Raise RequestError 400 for a turn that can't be: without content, of another's role, of a call never made.

    `with_history`: earlier turns are kept on the server, and calls may stand there.
    """
    made: set[str] = set()
    for place, message in enumerate(messages):
        where = f"messages.{place}.content"
        if not message.content and not (message.role == "assistant" and place == len(messages) - 1):
            raise _refuse(where, "must not be empty")
        for number, block in enumerate(message.blocks):
            if block.type in _OTHERS[message.role]:
                raise _refuse(f"{where}.{number}.type", f"a turn of the role {message.role} takes no {block.type}")
            if isinstance(block, ToolUseBlock):
                made.add(block.id)
            elif isinstance(block, ToolResultBlock) and block.tool_use_id not in made and not with_history:
                told = f"no assistant turn before it has a tool_use with the id {block.tool_use_id[:80]!r}"
                raise _refuse(f"{where}.{number}.tool_use_id", told)


def _refuse(field: str, why: str) -> RequestError:
    return RequestError(400, "invalid_value", f"{field}: {why}", field=field)
