"""What happens while an answer is made: the events that every part of tailrace speaks.

A provider turns an upstream's bytes into events, a stream log keeps them in order, a dialect turns
them into a client's bytes. `Finished` and `Failed` are terminal: a log holds exactly one of them, as
its last entry, and the meter's `UsageReported` right before it. `Started` comes with the first content.

Where the client speaks the upstream's format, the upstream's own bytes come along: each frame in the `frame` of its
last event, empty in those before it. A frame that comes to no event has an `Opaque` of its own. Only the encoder of
that format looks at them; to all others the events are what they always are.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from tailrace.errors import StreamError

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]
UsageSource: TypeAlias = Literal["reported", "counted", "estimated"]

FRAME: Final = "frame"
"""The kind of an `Opaque` that stands for a frame and says nothing else."""
USAGE_FRAME: Final = "usage_frame"
"""The same, for a frame that comes only to clients that ask for usage."""
WHOLE_FRAME: Final = "whole_frame"
"""The same, for an answer that came as one document, after its events, which have no frames then."""


class _Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type"):
    frame: bytes | None = None


class Started(_Event, frozen=True, kw_only=True, tag="started"):
    """The upstream began to answer.

    `model` is the name the upstream gave, else the one it was asked for; `created_at` is Unix time in seconds. In a
    log `input_tokens` is how many went in, as far as it is known by then: the upstream's word, else our guess.
    """

    model: str
    created_at: float
    input_tokens: int | None = None


class TextDelta(_Event, frozen=True, kw_only=True, tag="text"):
    """A piece of the answer's text, for the choice with index `choice`."""

    text: str
    choice: int = 0


class ReasoningDelta(_Event, frozen=True, kw_only=True, tag="reasoning"):
    """A piece of the model's reasoning; `signature` is the vendor's proof of a finished block, if any."""

    text: str
    signature: str | None = None
    choice: int = 0


class RefusalDelta(_Event, frozen=True, kw_only=True, tag="refusal"):
    """A piece of the model's own words of refusal."""

    text: str
    choice: int = 0


class ToolCallStarted(_Event, frozen=True, kw_only=True, tag="tool_call"):
    """The model began to call the tool `name`; `call` counts the answer's tool calls from 0."""

    call: int
    id: str
    name: str
    choice: int = 0


class ToolCallDelta(_Event, frozen=True, kw_only=True, tag="tool_call_delta"):
    """A piece of the JSON text of the arguments of tool call number `call`."""

    call: int
    arguments: str
    choice: int = 0


class UsageReported(_Event, frozen=True, kw_only=True, tag="usage"):
    """How many tokens went in and came out so far; None where nothing is known.

    `output_tokens` includes `reasoning_tokens`, `input_tokens` includes `cached_input_tokens`. From a provider
    it holds what the upstream said last; in a log it is the meter's final word, with every count filled in.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None
    source: UsageSource = "reported"


class Opaque(_Event, frozen=True, kw_only=True, tag="opaque"):
    """Something of the upstream's that has no event of its own; `json` is its JSON text, unchanged."""

    kind: str
    json: str
    choice: int = 0


class Finished(_Event, frozen=True, kw_only=True, tag="finished"):
    """The answer is whole. Times are milliseconds since the request came in.

    `native` is the upstream's own word for the reason, `stop_sequence` the one that was met, if it said so.
    """

    reason: FinishReason
    ttft_ms: float | None = None
    duration_ms: float = 0.0
    native: str | None = None
    stop_sequence: str | None = None


class Failed(_Event, frozen=True, kw_only=True, tag="failed"):
    """The answer is not whole and will not be; `code` is one of `tailrace.errors.FailureCode`.

    `status` is the HTTP status for a client that has received nothing yet, `retry_after` in seconds, `field` the place
    in the request that is to blame.
    """

    code: str
    message: str
    retryable: bool = False
    status: int = 502
    retry_after: float | None = None
    field: str | None = None

    @classmethod
    def of(cls, error: StreamError) -> Failed:
        """An error as the end of an answer."""
        return cls(
            code=error.code,
            message=error.message,
            retryable=error.retryable,
            status=error.status,
            retry_after=error.retry_after,
            field=error.field,
        )


Event: TypeAlias = (
    Started
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallStarted
    | ToolCallDelta
    | UsageReported
    | Opaque
    | Finished
    | Failed
)


def is_bare(event: Event) -> bool:
    """Whether the event is nothing but the upstream's frame."""
    return type(event) is Opaque and event.kind in _BARE


_BARE: Final = frozenset({FRAME, USAGE_FRAME, WHOLE_FRAME})


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event in its place: `seq` counts a log's entries from 1.

    `count` is how many neighbouring text entries were joined into this one, whose last `seq` it carries.
    """

    seq: int
    event: Event
    count: int = 1
