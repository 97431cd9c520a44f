"""Counts what one generation uses, while it runs and in the end, and says how sure it is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Final

import msgspec

from tailrace import tokens
from tailrace.errors import StreamError
from tailrace.events import (
    Event,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
    UsageSource,
)
from tailrace.requests import ChatRequest

_INLINE_BYTES: Final = 8 << 10
"""Above this much text the tokenizer runs in a thread, so that it holds nobody up; so does its first use."""

_SURENESS: Final[tuple[UsageSource, ...]] = ("estimated", "counted", "reported")


class Meter:
    """Reads along with one generation.

    `fold` is paid once for each socket read. While the answer runs, `deltas` is the count of what came so far
    (upstreams send about one token in each delta); `settle` replaces it with the upstream's own figures, or with a
    tokenizer's.
    """

    __slots__ = ("_max_bytes", "_max_deltas", "_reported", "_request", "bytes", "deltas", "refused")

    def __init__(self, request: ChatRequest, *, max_bytes: int, max_deltas: float = math.inf) -> None:
        self._request = request
        self._max_bytes = max_bytes
        self._max_deltas = max_deltas
        self._reported: UsageReported | None = None
        self.deltas = 0
        self.bytes = 0
        self.refused: list[Event] = []
        """What the read brought that was too much."""

    def fold(self, events: list[Event]) -> list[Event]:
        """Count the events and give back those that belong in the log: usage stays here until the end.

        Raises StreamError: "too_long" once the answer's bytes pass the cap, "budget_exceeded" once its tokens do. What
        the last read brought is not for the log then, but it was generated, and `settle` counts it.
        """
        kept = events
        for event in events:
            if type(event) is TextDelta:
                text = event.text
                self.deltas += 1
                self.bytes += len(text) if text.isascii() else _size(text)
            elif isinstance(event, UsageReported):
                self._reported = _merge(self._reported, event)
                kept = [other for other in events if not isinstance(other, UsageReported)]
            elif (piece := _generated(event)) is not None:
                self.deltas += 1
                self.bytes += _size(piece)
        if self.bytes > self._max_bytes or self.deltas > self._max_deltas:
            self.refused = kept
            raise self._excess()
        return kept

    def _excess(self) -> StreamError:
        if self.bytes > self._max_bytes:
            return StreamError("too_long", f"the answer is longer than the {self._max_bytes} bytes allowed")
        return StreamError("budget_exceeded", "the key's budget ran out")

    @property
    def heard(self) -> bool:
        """Whether the upstream has said anything that counts."""
        return self.deltas > 0 or self._reported is not None

    @property
    def input_tokens(self) -> int | None:
        """What the upstream has said of the input so far."""
        return None if self._reported is None else self._reported.input_tokens

    async def settle(self, answer: Iterable[Event], *, whole: bool) -> UsageReported:
        """The final figures: what the upstream reported, else counted, else estimated.

        `answer` is the log's events. The label is that of the less sure of the two main figures. Of an answer that
        is not whole the upstream's last word may be old (Anthropic opens with one output token): the count holds
        where it is higher.
        """
        said = self._believable()
        if whole and said.input_tokens is not None and said.output_tokens is not None:
            return said
        generated = "".join(piece for event in (*answer, *self.refused) if (piece := _generated(event)) is not None)
        long = self.bytes + tokens.length(self._request) > _INLINE_BYTES
        if long or not tokens.ready(self._request.model):
            return await asyncio.to_thread(_complete, said, self._request, generated, whole)
        return _complete(said, self._request, generated, whole)

    def _believable(self) -> UsageReported:
        """What the upstream said, but for a zero where there was something: servers are seen to fill in zeros."""
        said = self._reported or UsageReported()
        if said.output_tokens == 0 and self.deltas:
            said = msgspec.structs.replace(said, output_tokens=None)
        if said.input_tokens == 0 and self._request.messages:
            said = msgspec.structs.replace(said, input_tokens=None)
        return said


def count_deltas(events: Iterable[Event]) -> int:
    """How many of the events are pieces of what a model generated."""
    return sum(_generated(event) is not None for event in events)


def _size(piece: str) -> int:
    return len(piece.encode("utf-8", "replace"))


def _merge(earlier: UsageReported | None, later: UsageReported) -> UsageReported:
    if earlier is None:
        return later
    return UsageReported(
        input_tokens=_newer(later.input_tokens, earlier.input_tokens),
        output_tokens=_newer(later.output_tokens, earlier.output_tokens),
        reasoning_tokens=_newer(later.reasoning_tokens, earlier.reasoning_tokens),
        cached_input_tokens=_newer(later.cached_input_tokens, earlier.cached_input_tokens),
        source=later.source,
    )


def _newer(later: int | None, earlier: int | None) -> int | None:
    return earlier if later is None else later


def _complete(said: UsageReported, request: ChatRequest, generated: str, whole: bool) -> UsageReported:
    answered, answered_source = _output(said, request.model, generated, whole)
    asked, asked_source = _input(said, request) if request.messages else (None, answered_source)
    return UsageReported(
        input_tokens=asked,
        output_tokens=answered,
        reasoning_tokens=said.reasoning_tokens,
        cached_input_tokens=said.cached_input_tokens,
        source=min(asked_source, answered_source, key=_SURENESS.index),
    )


def _input(said: UsageReported, request: ChatRequest) -> tuple[int, UsageSource]:
    if said.input_tokens is not None:
        return said.input_tokens, said.source
    return tokens.count_request(request, request.model)


def _output(said: UsageReported, model: str, generated: str, whole: bool) -> tuple[int, UsageSource]:
    if whole and said.output_tokens is not None:
        return said.output_tokens, said.source
    counted, source = tokens.count(generated, model)
    if said.output_tokens is not None and said.output_tokens >= counted:
        return said.output_tokens, said.source
    return counted, source


def _generated(event: Event) -> str | None:
    """What of the event the model generated, None where it is no such event."""
    match event:
        case TextDelta(text=piece) | ReasoningDelta(text=piece) | RefusalDelta(text=piece):
            return piece
        case ToolCallDelta(arguments=piece):
            return piece
        case ToolCallStarted(name=name):
            return name
        case _:
            return None
