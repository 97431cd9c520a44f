"""The answers that the tests of the formats write out, event by event."""

from __future__ import annotations

from typing import Final

from tailrace.events import (
    Event,
    Failed,
    Finished,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)

WHOLE: Final[list[Event]] = [
    Started(model="gpt-4o", created_at=1_700_000_000.0, input_tokens=9),
    ReasoningDelta(text="Hm."),
    ReasoningDelta(text="", signature="c2ln"),
    TextDelta(text="Hel"),
    TextDelta(text='lo "you"\n'),
    Opaque(kind="citation", json='{"page":1}'),
    RefusalDelta(text="No."),
    ToolCallStarted(call=0, id="call_1", name="look"),
    ToolCallDelta(call=0, arguments='{"at":'),
    ToolCallDelta(call=0, arguments='"it"}'),
    UsageReported(input_tokens=11, output_tokens=42, reasoning_tokens=7),
    Finished(reason="tool_calls", ttft_ms=12.5, duration_ms=340.0, native="tool_use"),
]
"""Every kind of event, and a finish."""

BROKEN: Final[list[Event]] = [
    Started(model="gpt-4o", created_at=1_700_000_000.0, input_tokens=9),
    TextDelta(text="Hel"),
    UsageReported(input_tokens=11, output_tokens=1, source="counted"),
    Failed(code="upstream_cut", message="the upstream broke off", retryable=True),
]
"""A piece of text, and a failure."""
