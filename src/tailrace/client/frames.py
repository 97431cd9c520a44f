"""Frames of the delta format as events: what our server writes, read back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import msgspec

from tailrace.errors import WireError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.sse import ServerSentEvent

_DONE = "[DONE]"


class _ToolCall(msgspec.Struct):
    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class _Frame(msgspec.Struct):
    delta: str = ""
    reasoning: str | None = None
    tool_call: _ToolCall | None = None
    finish_reason: str | None = None
    usage: UsageReported | None = None
    code: str | None = None
    message: str = ""


_decode = msgspec.json.Decoder(_Frame).decode


class Cursor(msgspec.Struct, frozen=True, order=True):
    """A frame's place in its stream, from its id `<stream>.<seq>` or `<stream>.<seq>.<k>`; later ones are greater.

    The last frame of an entry has no `k`: it stands behind all those that have.
    """

    seq: int
    frame: float

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises WireError where it is none."""
        seq, *frame = text.split(".")[1:] or [""]
        try:
            return cls(int(seq), int(frame[0]) if frame else math.inf)
        except ValueError:
            raise WireError(f"{text[:80]!r} is no frame's id") from None


def read_frame(frame: ServerSentEvent) -> list[Event]:
    """What one frame says. Raises WireError where it is no frame of the delta format."""
    if frame.data == _DONE:
        return []
    try:
        said = _decode(frame.data)
    except msgspec.MsgspecError as error:
        raise WireError(f"a frame of the delta format was expected: {error}") from None
    if frame.event == "error":
        return [Failed(code=said.code or "internal", message=said.message)]
    return list(_events(said))


def _events(said: _Frame) -> Iterator[Event]:
    if said.reasoning:
        yield ReasoningDelta(text=said.reasoning)
    if said.delta:
        yield TextDelta(text=said.delta)
    if (call := said.tool_call) is not None:
        if call.id is not None:
            yield ToolCallStarted(call=call.index, id=call.id, name=call.name or "")
        if call.arguments:
            yield ToolCallDelta(call=call.index, arguments=call.arguments)
    if said.finish_reason is not None:
        if said.usage is not None:
            yield said.usage
        yield Finished(reason=cast("FinishReason", said.finish_reason))
