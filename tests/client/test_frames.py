"""Reading the delta format: whatever our encoder writes comes back as the events that it was given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.client.frames import Cursor, read_frame
from tailrace.dialects import DELTA
from tailrace.errors import WireError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.sse import Decoder, ServerSentEvent

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
DELTAS = st.one_of(
    st.builds(TextDelta, text=TEXTS),
    st.builds(ReasoningDelta, text=TEXTS),
    st.builds(ToolCallStarted, call=st.integers(0, 9), id=TEXTS, name=TEXTS),
    st.builds(ToolCallDelta, call=st.integers(0, 9), arguments=TEXTS),
)
USAGE = UsageReported(input_tokens=3, output_tokens=4, source="counted")


@given(st.lists(DELTAS), st.integers(1, 50))
def test_what_the_encoder_writes_is_read_back(deltas: list[Event], size: int) -> None:
    """Any deltas, then usage and the end, in reads of any size."""
    told = [*deltas, USAGE, Finished(reason="stop")]
    encoder = DELTA.encoder("gen_" + "0" * 24)
    data = b"".join(encoder.encode(seq, event) for seq, event in enumerate(told, 1))
    decoder = Decoder()
    frames = [frame for start in range(0, len(data), size) for frame in decoder.feed(data[start : start + size])]
    assert [event for frame in frames for event in read_frame(frame)] == told


def test_a_failure_is_read_with_its_code() -> None:
    """An error frame is a `Failed`."""
    encoded = DELTA.encoder("gen_0").encode(1, Failed(code="upstream_cut", message="it broke"))
    (frame,) = Decoder().feed(encoded)
    assert read_frame(frame) == [Failed(code="upstream_cut", message="it broke")]


def test_frames_stand_in_the_order_of_their_ids() -> None:
    """An entry's earlier frames come before its last, and that before the next entry's."""
    places = ["gen_0.1", "gen_0.2.1", "gen_0.2.2", "gen_0.2", "gen_0.3", "gen_0.10"]
    assert sorted(set(places), key=Cursor.parse) == places


@pytest.mark.parametrize("data", ["", "[]", "{", '{"delta":1}', "Hello"])
def test_what_is_no_frame_of_ours_is_a_wire_error(data: str) -> None:
    """A server that speaks something else is told so, not read as silence."""
    with pytest.raises(WireError):
        read_frame(ServerSentEvent(data=data))


@pytest.mark.parametrize("place", ["", "gen_0", "gen_0.x", "gen_0.1.x"])
def test_what_is_no_id_is_a_wire_error(place: str) -> None:
    """An id without a place can't be a cursor."""
    with pytest.raises(WireError):
        Cursor.parse(place)
