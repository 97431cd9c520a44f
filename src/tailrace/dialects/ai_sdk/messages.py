"""UI messages as a model is asked: an assistant's message becomes calls and their results, step by step.

The rules are those of the SDK's `convertToModelMessages`: https://ai-sdk.dev/docs/reference/ai-sdk-ui/convert-to-model-messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from tailrace.dialects.ai_sdk.parts import (
    FilePart,
    PartBody,
    ReasoningPart,
    SteeringPart,
    StepPart,
    TextPart,
    ToolPart,
    VendorModel,
)
from tailrace.errors import RequestError
from tailrace.requests import Message, Part, Text, ToolResult


class UIMessageBody(VendorModel):
    """One message as a client shows it; its `metadata` is the client's own."""

    id: str | None = None
    role: Literal["system", "user", "assistant"]
    parts: list[PartBody]


def convert(messages: Sequence[UIMessageBody]) -> Iterator[Message]:
    """The conversation in tailrace's own words. Raises RequestError 422 for what is empty or was never answered."""
    asked_last = max((place for place, message in enumerate(messages) if message.role == "user"), default=-1)
    for place, message in enumerate(messages):
        field = f"messages.{place}"
        match message.role:
            case "system":
                yield Message(role="system", parts=_texts(message, field))
            case "user":
                yield _said(message.parts, field)
            case "assistant":
                yield from _answered(message, field, superseded=place < asked_last)


def _texts(message: UIMessageBody, field: str) -> tuple[Text, ...]:
    texts = tuple(part.to_part() for part in message.parts if isinstance(part, TextPart))
    if not texts:
        raise _empty(field)
    return texts


def _said(parts: Iterable[PartBody], field: str) -> Message:
    said = tuple(part.to_part() for part in parts if isinstance(part, (TextPart, FilePart)))
    if not said:
        raise _empty(field)
    return Message(role="user", parts=said)


def _empty(field: str) -> RequestError:
    message = f"{field}: a message needs a part of the type text or file"
    return RequestError(422, "invalid_field", message, field=f"{field}.parts")


def _answered(message: UIMessageBody, field: str, *, superseded: bool) -> Iterator[Message]:
    """An answer, from one step to the next: what was said, then what the tools gave back.

    `superseded`: the user has gone on since, so that a call that still asked for leave never was made.
    """
    step = _Step()
    for place, part in enumerate(message.parts):
        match part:
            case StepPart():
                yield from step.take()
            case SteeringPart():
                yield from step.take()
                yield _said(part.parts, f"{field}.parts.{place}")
            case ToolPart(state="input-streaming"):
                pass
            case ToolPart(state="approval-requested") if superseded:
                pass
            case ToolPart():
                step.add_call(part, f"{field}.parts.{place}")
            case TextPart(text="") | ReasoningPart(text="", provider_metadata=None):
                pass
            case TextPart() | FilePart() | ReasoningPart():
                step.said.append(part.to_part())
    yield from step.take()


class _Step:
    """One step as it grows."""

    def __init__(self) -> None:
        self.said: list[Part] = []
        self._results: list[ToolResult] = []

    def add_call(self, part: ToolPart, field: str) -> None:
        result = part.to_result()
        if result is None:
            told = (
                f"{field}: the call {part.tool_call_id[:80]!r} has no output; tailrace runs no tools, so add its "
                f"output (addToolOutput) or leave the part out"
            )
            raise RequestError(422, "invalid_field", told, field=f"{field}.state")
        self.said.append(part.to_call())
        self._results.append(result)

    def take(self) -> Iterator[Message]:
        """The step's messages; what follows is the next one's."""
        if self.said:
            yield Message(role="assistant", parts=tuple(self.said))
        yield from (Message(role="tool", parts=(result,)) for result in self._results)
        self.said, self._results = [], []
