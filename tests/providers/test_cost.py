"""What one exchange with an upstream costs beside the socket: counted in calls, which no busy machine changes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.providers.reading import ask
from tests.providers.speaking import opened
from tests.upstream import ScriptedUpstream, answer

import tailrace
from tailrace.events import Event, TextDelta
from tailrace.health import Health
from tailrace.providers.openai import OpenAIProvider

MOST_CALLS: Final = 110
"""Of tailrace's own functions; each resumption of a coroutine counts as one. They were 159 once."""

_OURS: Final = str(Path(tailrace.__file__).parent)
_SAME: Final = '"object":"chat.completion.chunk","created":1700000000,"model":"m"'
_CHUNKS: Final = (
    '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null',
    '"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null',
    '"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null',
    '"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}',
)
ANSWER: Final = "".join(f'data: {{"id":"c",{_SAME},{chunk}}}\n\n' for chunk in _CHUNKS) + "data: [DONE]\n\n"


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Counts the calls of tailrace's functions while the block runs."""
    calls: Counter[str] = Counter()

    def note(frame: FrameType, what: str, _: Any) -> None:
        if what == "call" and frame.f_code.co_filename.startswith(_OURS):
            calls[frame.f_code.co_qualname] += 1

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def test_a_request_of_one_token() -> None:
    """An answer of one token, on a connection that is there, takes few calls from the question to the finish."""
    events: list[Event] = []
    health = Health()
    script = [answer(ANSWER.encode(), content_type="text/event-stream")]
    async with (
        ScriptedUpstream(script) as upstream,
        opened(OpenAIProvider(name="up", base_url=upstream.url, api_key="k")) as provider,
    ):
        await provider.run(ask(), lambda _: None)
        with counted() as calls:
            finish = await health.watch("up", provider.run(ask(), events.extend))
    assert finish.reason == "stop"
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Hi"]
    assert calls.total() <= MOST_CALLS, calls
