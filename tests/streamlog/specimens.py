"""Events for tests of logs: some by hand, and strategies for any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

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

STARTED: Final = Started(model="m-1", created_at=1.0)
USAGE: Final = UsageReported(input_tokens=3, output_tokens=2)
STOP: Final = Finished(reason="stop", ttft_ms=1.5, duration_ms=20.0)
END: Final = (USAGE, STOP)

_TEXT: Final = st.text(st.characters(codec="utf-8"), max_size=8)
_FRAME: Final = st.none() | st.binary(max_size=8)
_COUNT: Final = st.none() | st.integers(0, 2**40)

CONTENT: Final = st.one_of(
    st.builds(TextDelta, text=_TEXT, choice=st.integers(0, 2), frame=_FRAME),
    st.builds(ReasoningDelta, text=_TEXT, signature=st.none() | _TEXT, frame=_FRAME),
    st.builds(RefusalDelta, text=_TEXT),
    st.builds(ToolCallStarted, call=st.integers(0, 3), id=_TEXT, name=_TEXT),
    st.builds(ToolCallDelta, call=st.integers(0, 3), arguments=_TEXT),
    st.builds(Opaque, kind=_TEXT, json=_TEXT, frame=_FRAME),
)
_USAGES: Final = st.builds(UsageReported, input_tokens=_COUNT, output_tokens=_COUNT, reasoning_tokens=_COUNT)
_ENDS: Final = st.builds(
    Finished,
    reason=st.sampled_from(["stop", "length"]),
    ttft_ms=st.none() | st.floats(0, 1e9),
    native=st.none() | _TEXT,
) | st.builds(Failed, code=st.just("upstream_cut"), message=_TEXT, retryable=st.booleans(), status=st.just(504))


def texts(*pieces: str) -> list[Event]:
    """Pieces of text."""
    return [TextDelta(text=piece) for piece in pieces]


@st.composite
def whole_logs(draw: st.DrawFn) -> Sequence[Event]:
    """The events of any log that is sealed."""
    return [STARTED, *draw(st.lists(CONTENT, max_size=20)), draw(_USAGES), draw(_ENDS)]
