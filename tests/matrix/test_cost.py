"""What a token costs in each format: a small share of the work that all formats have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from bench import wire
from tests.dialects.reading import STREAM_ID

from tailrace.dialects import DIALECTS
from tailrace.events import Event, Started, TextDelta
from tailrace.providers.openai.chunks import OpenAIReader

TOKENS: Final = 2_000
TRIES: Final = 9


def quickest(work: Callable[[], object]) -> float:
    """The least CPU time that some tries took."""
    tries: list[float] = []
    for _ in range(TRIES):
        began = time.thread_time()
        work()
        tries.append(time.thread_time() - began)
    return min(tries)


def read_tokens() -> list[Event]:
    """Read an answer, each token by itself, as an upstream sends it."""
    reader = OpenAIReader(model="m", now=0.0)
    return [event for frame in FRAMES for event in reader.feed(frame)]


def body_of(frame: bytes) -> bytes:
    """What a chunk of HTTP holds."""
    return frame.partition(b"\r\n")[2][:-2]


FRAMES: Final = [body_of(wire.token_frame(number, 0)) for number in range(1, TOKENS + 1)]
EVENTS: Final[Sequence[Event]] = [
    Started(model="m", created_at=0.0),
    *(TextDelta(text=f"t{number} ") for number in range(TOKENS)),
]


def test_no_format_is_dear() -> None:
    """To write a token costs in no format more than twice what it costs to read it from the upstream."""
    reading = quickest(read_tokens)

    def share(name: str) -> float:
        def write() -> None:
            encoder = DIALECTS[name].encoder(STREAM_ID)
            for seq, event in enumerate(EVENTS, 1):
                encoder.encode(seq, event)

        return quickest(write) / reading

    assert {name: found for name in DIALECTS if (found := share(name)) > 2} == {}
