"""Counts what one generation uses, while it runs and in the end, and says how sure it is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
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

_FRAMES_TO_TEXT: Final = 64
"""How many times an answer's cap the frames may take that say it: about 300 bytes for a token of five."""

_CHARS_PER_TOKEN: Final = 5
"""About as many as plain English has, and more than most text: whoever sends a token a delta is not thought dearer."""

_SURENESS: Final[tuple[UsageSource, ...]] = ("estimated", "counted", "reported")


class Meter:
    """Reads along with one generation.

    `fold` is paid once for each socket read. While the answer runs, `tokens` is an estimate of what came so far;
    `settle` replaces it with the upstream's own figures, or with a tokenizer's.
    """

    __slots__ = (
        "_max_bytes",
        "_max_chars",
        "_max_framed",
        "_max_tokens",
        "_request",
        "bytes",
        "chars",
        "deltas",
        "framed",
        "refused",
        "reported",
    )

    def __init__(self, request: ChatRequest, *, max_bytes: int, max_tokens: float = math.inf) -> None:
        self._request = request
        self._max_bytes = max_bytes
        self._max_framed = max_bytes * _FRAMES_TO_TEXT
        self._max_tokens = max_tokens
        self._max_chars = max_tokens * _CHARS_PER_TOKEN
        self.reported: UsageReported | None = None
        """What the upstream has said of it so far."""
        self.deltas = 0
        self.chars = 0
        self.bytes = 0
        self.framed = 0
        """Bytes of the upstream's own frames, which come to many times the text."""
        self.refused: list[Event] = []
        """What the read brought that was too much."""

    def fold(self, events: list[Event]) -> list[Event]:
        """Count the events and give back those that belong in the log: usage stays here until the end.

        Raises StreamError: "too_long" once the answer's bytes pass the cap, "budget_exceeded" once its tokens do. What
        the last read brought is not for the log then, but it was generated, and `settle` counts it.
        """
        kept = events
        if len(events) == 1 and type(event := events[0]) is TextDelta:
            # Written out: nothing else is done as often
            text = event.text
            self.deltas += 1
            self.chars += len(text)
            self.bytes += len(text) if text.isascii() else _size(text)
            if event.frame is not None:
                self.framed += len(event.frame)
        else:
            # All at once, for a read of a fast upstream's brings hundreds
            texts = [event.text for event in events if type(event) is TextDelta and event.frame is None]
            self._count("".join(texts), len(texts))
            if len(texts) < len(events):
                kept = self._fold_others(events)
        if (
            self.bytes > self._max_bytes
            or self.framed > self._max_framed
            or self.deltas > self._max_tokens
            or self.chars > self._max_chars
        ):
            self.refused = kept
            raise self._excess()
        return kept

    def _fold_others(self, events: list[Event]) -> list[Event]:
        """Count all but plain texts."""
        kept = events
        for event in events:
            if event.frame is None and type(event) is TextDelta:
                continue
            self.framed += len(event.frame or b"")
            if type(event) is UsageReported:
                self.reported = _merge(self.reported, event)
                kept = [other for other in events if type(other) is not UsageReported]
            elif (piece := _generated(event)) is not None:
                self._count(piece, 1)
        return kept

    def _count(self, text: str, deltas: int) -> None:
        length = len(text)
        self.deltas += deltas
        self.chars += length
        self.bytes += length if text.isascii() else _size(text)

    @property
    def tokens(self) -> int:
        """How many came, about: many upstreams send one in each delta, others a sentence."""
        return max(self.deltas, self.chars // _CHARS_PER_TOKEN)

    @property
    def _is_too_long(self) -> bool:
        return self.bytes > self._max_bytes or self.framed > self._max_framed

    def _excess(self) -> StreamError:
        if self._is_too_long:
            return StreamError("too_long", f"the answer is longer than the {self._max_bytes} bytes allowed")
        return StreamError("budget_exceeded", "the key's budget ran out")

    @property
    def heard(self) -> bool:
        """Whether the upstream has said anything that counts."""
        return self.deltas > 0 or self.reported is not None

    @property
    def input_tokens(self) -> int | None:
        """What the upstream has said of the input so far."""
        return None if self.reported is None else self.reported.input_tokens

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
        said = self.reported or UsageReported()
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


_GENERATED: Final[Mapping[type, str]] = {
    TextDelta: "text",
    ReasoningDelta: "text",
    RefusalDelta: "text",
    ToolCallDelta: "arguments",
    ToolCallStarted: "name",
}
"""The field of an event that holds what a model generated."""


def _generated(event: Event) -> str | None:
    """What of the event the model generated, None where it is no such event."""
    field = _GENERATED.get(type(event))
    return None if field is None else getattr(event, field)
