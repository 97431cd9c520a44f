"""What is tried again: the same upstream once more, then the fallbacks, and only before the first content."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from tests.generation.generating import end_of, generating, settled, text_of
from tests.tap import Tap
from tests.upstream import ScriptedUpstream, Step, answer, chunk, chunked_head, in_turn

from tailrace.errors import StreamError, UpstreamError
from tailrace.events import Started, TextDelta, UsageReported
from tailrace.generation import generation as module
from tailrace.providers.openai import OpenAIProvider

pytestmark = pytest.mark.usefixtures("no_leaks")

PASSING = UpstreamError("upstream_error", "busy")
LASTING = UpstreamError("upstream_auth", "no such key")


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is the order of things, not the time between them."""
    monkeypatch.setattr(module, "_BACKOFF_S", 0.01)


async def test_a_passing_trouble_is_tried_again() -> None:
    """A 503 and a dropped connection each cost a retry with a pause before it; the third request answers."""
    whole = chunk(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n') + chunk(b"")
    scripts = in_turn(
        [answer(b"", "503 Unavailable", connection="close"), Step.CLOSE], [Step.RESET], [chunked_head() + whole]
    )
    async with ScriptedUpstream(scripts) as upstream:
        provider = OpenAIProvider(name="up", base_url=upstream.url)
        async with generating(provider, retries=2) as generation:
            events = await settled(generation)
    assert (end_of(events), text_of(events)) == ("stop", "Hi")
    first, second, third = (request.at for request in upstream.requests)
    assert second - first >= 0.005
    assert third - second >= 0.01
    assert len({request.body for request in upstream.requests}) == 1


async def test_a_lasting_refusal_is_not_tried_again() -> None:
    """What would be refused again is asked once, and the next model in its place."""
    first, second = Tap(LASTING), Tap()
    with capture_logs() as logs:
        async with generating(first, second, retries=3) as generation:
            (await second.asked()).say("Hi")
            second.runs[0].finish()
            events = await settled(generation)
    assert (len(first.runs), len(second.runs)) == (1, 1)
    assert text_of(events) == "Hi"
    assert [(line["event"], line["code"]) for line in logs] == [("falling_back", "upstream_auth")]


async def test_fallbacks_come_after_the_retries() -> None:
    """Each model is tried `retries` times more before the next one; the last one's error is the answer's."""
    taps = Tap(PASSING, PASSING), Tap(PASSING, LASTING), Tap(PASSING, UpstreamError("upstream_error", "the last"))
    async with generating(*taps, retries=1) as generation:
        events = await settled(generation)
    assert [len(tap.runs) for tap in taps] == [2, 2, 2]
    assert end_of(events) == "upstream_error"
    assert "the last" in repr(events[-1])


@pytest.mark.parametrize("error", [PASSING, LASTING, UpstreamError("upstream_cut", "cut")])
async def test_nothing_is_tried_again_after_content(error: StreamError) -> None:
    """After the first content neither a retry nor a fallback: the reader is told what happened."""
    first, second = Tap(), Tap()
    async with generating(first, second, retries=3) as generation:
        run = await first.asked()
        run.say("Hi")
        run.fail(error)
        events = await settled(generation)
    assert (len(first.runs), len(second.runs)) == (1, 0)
    assert (end_of(events), text_of(events)) == (error.code, "Hi")


async def test_what_a_failed_trial_said_of_itself_is_forgotten() -> None:
    """The model and the figures of an upstream that failed before content are not those of the answer."""
    first, second = Tap(), Tap()
    async with generating(first, second, retries=0) as generation:
        run = await first.asked()
        run.start("the first")
        run.say(UsageReported(input_tokens=999, output_tokens=999))
        run.fail(PASSING)
        run = await second.asked()
        run.start("the second")
        run.say("Hi", UsageReported(input_tokens=1, output_tokens=1))
        run.finish()
        events = await settled(generation)
    assert events[:2] == [Started(model="the second", created_at=1.0, input_tokens=1), TextDelta(text="Hi")]
    assert events[2] == UsageReported(input_tokens=1, output_tokens=1)


async def test_a_stop_ends_the_pause_before_a_retry() -> None:
    """An answer that waits to try again can be stopped, and is not tried again."""
    tap = Tap(PASSING)
    async with generating(tap, retries=1) as generation:
        await tap.asked()
        generation.stop(StreamError("cancelled", ""))
        assert end_of(await settled(generation)) == "cancelled"
    assert len(tap.runs) == 1


async def test_a_retry_does_not_extend_the_time() -> None:
    """The first token's time limit is the answer's own, however many upstreams were tried."""
    taps = Tap(PASSING), Tap()
    async with generating(*taps, first_token_s=0.1) as generation:
        await taps[1].asked()
        assert end_of(await settled(generation)) == "first_token_timeout"
