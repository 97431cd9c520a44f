"""How an answer ends: each end over a real socket or by a provider in the test's hand, and exactly one of them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.generation.generating import Viewer, end_of, generating, settled, text_of
from tests.tap import Run, Tap
from tests.upstream import Script, ScriptedUpstream, Step, answer, chunk, chunked_head
from tests.waiting import until

from tailrace import tokens
from tailrace.errors import RequestError, StreamError, UpstreamError
from tailrace.events import Failed, Finished, Started, TextDelta, UsageReported
from tailrace.generation import Attempt, Generation, Generations
from tailrace.metrics import Metrics
from tailrace.providers.openai import OpenAIProvider
from tailrace.requests import ChatRequest
from tailrace.settings import StreamSettings

pytestmark = pytest.mark.usefixtures("no_leaks")


def said(text: str, finish: str = "null") -> bytes:
    """A chunk of an OpenAI stream."""
    choice = f'{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{finish}}}'
    return chunk(f'data: {{"model":"m-1","choices":[{choice}]}}\n\n'.encode())


DONE = chunk(b"data: [DONE]\n\n") + chunk(b"")


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """What an upstream does, and what it must come to."""

    script: Script
    end: str
    text: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


UPSTREAMS = {
    "finished": Upstream(script=[chunked_head() + said("Hel") + said("lo", '"stop"') + DONE], end="stop", text="Hello"),
    "no content": Upstream(script=[chunked_head() + said("", '"length"') + DONE], end="length"),
    "refused": Upstream(script=[answer(b'{"error":{"message":"no"}}', "400 Bad Request")], end="upstream_refused"),
    "auth": Upstream(script=[answer(b"", "401 Unauthorized")], end="upstream_auth"),
    "error": Upstream(script=[answer(b"", "500 Internal Server Error")], end="upstream_error"),
    "cut in mid-token": Upstream(
        script=[chunked_head() + said("Hel") + said("lo")[:20], Step.RESET], end="upstream_cut", text="Hel"
    ),
    "closed before anything": Upstream(script=[Step.CLOSE], end="upstream_cut"),
    "silent end": Upstream(script=[chunked_head() + said("Hel") + chunk(b"")], end="upstream_cut", text="Hel"),
    "error in the stream": Upstream(
        script=[chunked_head() + said("Hel") + chunk(b'data: {"error":{"message":"overloaded"}}\n\n') + chunk(b"")],
        end="upstream_error",
        text="Hel",
    ),
    "nonsense": Upstream(
        script=[chunked_head() + said("Hel") + chunk(b"data: {{\n\n")], end="upstream_invalid", text="Hel"
    ),
    "nothing": Upstream(script=[Step.STALL], end="first_token_timeout", settings={"first_token_s": 0.05}),
    "head alone": Upstream(
        script=[chunked_head(), Step.STALL], end="first_token_timeout", settings={"first_token_s": 0.05}
    ),
    "stall": Upstream(
        script=[chunked_head() + said("Hel"), Step.STALL], end="idle_timeout", text="Hel", settings={"idle_s": 0.05}
    ),
    "too slow in all": Upstream(
        script=[chunked_head() + said("Hel"), Step.STALL], end="total_timeout", text="Hel", settings={"total_s": 0.05}
    ),
    "too long": Upstream(
        script=[chunked_head() + said("Hel") + said("lo" * 9), Step.STALL], end="too_long", settings={"max_answer": 20}
    ),
}


@pytest.mark.parametrize("upstream", UPSTREAMS.values(), ids=UPSTREAMS.keys())
async def test_every_upstream_comes_to_one_end(upstream: Upstream) -> None:
    """Whatever an upstream does there is one terminal with its code, what was said before it is kept, and the
    connection of one that says no more is closed."""
    async with ScriptedUpstream(upstream.script) as scripted:
        provider = OpenAIProvider(name="up", base_url=f"{scripted.url}/v1", api_key="k")
        async with generating(provider, **upstream.settings) as generation:
            events = await settled(generation)
            assert end_of(events) == upstream.end
            assert text_of(events).startswith(upstream.text)
            if Step.STALL in upstream.script:
                await scripted.closed_by(1)


async def test_connect_timeout() -> None:
    """An upstream that takes the connection but never the handshake is `connect_timeout`, and may be tried again."""
    async with ScriptedUpstream([], greeting=[Step.STALL]) as scripted:
        url = scripted.url.replace("http://", "https://")
        async with generating(OpenAIProvider(name="up", base_url=url, connect_s=0.05)) as generation:
            events = await settled(generation)
    assert end_of(events) == "connect_timeout"
    assert isinstance(events[-1], Failed)
    assert events[-1].retryable
    assert events[-1].status == 504


async def test_any_byte_restarts_the_idle_time() -> None:
    """A read without an event in it, such as a comment, counts as a sign of life."""
    async with generating(tap := Tap(), idle_s=10) as generation:
        run = await tap.asked()
        run.say("Hi")
        silent_since = asyncio.get_running_loop().time()
        await asyncio.sleep(0.02)
        run.say()
        generation.tick(silent_since + 10.01)
        assert generation.task.cancelling() == 0
        generation.tick(silent_since + 30)
        assert end_of(await settled(generation)) == "idle_timeout"


async def test_started_waits_for_content() -> None:
    """`Started` is not logged before the first content, and then with what went in; the finish carries both times."""
    async with generating(tap := Tap()) as generation:
        run = await tap.asked()
        run.start("tap-9")
        run.say(UsageReported(input_tokens=3))
        assert generation.log.tail == 0
        run.say("Hi")
        started = Started(model="tap-9", created_at=1.0, input_tokens=3)
        assert generation.log.read(0, 9) == [started, TextDelta(text="Hi")]
        run.say(UsageReported(output_tokens=1))
        run.finish()
        events = await settled(generation)
    opening, usage, finished = events[0], events[-2], events[-1]
    assert isinstance(opening, Started)
    assert opening.model == "tap-9"
    assert usage == UsageReported(input_tokens=3, output_tokens=1)
    assert isinstance(finished, Finished)
    assert finished.ttft_ms is not None
    assert 0 <= finished.ttft_ms <= finished.duration_ms


async def test_an_exception_is_logged_and_said_without_its_words() -> None:
    """A provider's own bug ends the answer as `internal` with the request's id; the traceback is in the log alone."""
    async with generating(tap := Tap()) as generation:
        (await tap.asked()).fail(ZeroDivisionError("canary"))
        with capture_logs() as logs:
            events = await settled(generation)
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.status) == ("internal", 500)
    assert "req_1" in failed.message
    assert "canary" not in failed.message
    assert [(line["event"], line["request"], line["exc_info"]) for line in logs] == [
        ("generation_failed", "req_1", True)
    ]


async def test_a_refused_request_keeps_its_status() -> None:
    """What a provider can't ask its upstream for is the client's error, with its own status."""
    async with generating(tap := Tap()) as generation:
        (await tap.asked()).fail(RequestError(422, "unsupported", "no images"))
        events = await settled(generation)
    assert events[-1] == Failed(code="unsupported", message="no images", status=422)


MOMENTS = {
    "stopped": ("stop",),
    "stopped twice": ("stop", "drain"),
    "stopped as it finishes": ("finish", "stop"),
    "finished as it is stopped": ("stop", "finish"),
    "failed as it is stopped": ("stop", "fail"),
    "stopped as it fails": ("fail", "stop"),
    "more comes as it is stopped": ("stop", "say"),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
@pytest.mark.parametrize("begun", [False, True], ids=["before content", "after content"])
async def test_a_stop_holds_whatever_else_happens_at_once(moment: tuple[str, ...], begun: bool) -> None:
    """Once stopped, an answer is `cancelled`, whatever else comes in the same turn of the event loop."""
    async with generating(tap := Tap()) as generation:
        run = await tap.asked()
        if begun:
            run.say("Hi")
        for act in moment:
            happen(act, generation, run)
        events = await settled(generation)
    assert end_of(events) == "cancelled"
    assert text_of(events).startswith("Hi" if begun else "")


def happen(act: str, generation: Generation, run: Run) -> None:
    """One of the things that may come together."""
    match act:
        case "stop":
            generation.stop(StreamError("cancelled", "by POST"))
        case "drain":
            generation.stop(StreamError("draining", ""))
        case "finish":
            run.finish()
        case "fail":
            run.fail(UpstreamError("upstream_cut", ""))
        case "say":
            run.say("more")


async def test_a_stop_before_the_first_step() -> None:
    """An answer stopped before its task ran has its terminal, and no upstream was asked."""
    async with generating(tap := Tap()) as generation:
        generation.stop(StreamError("cancelled", ""))
        events = await settled(generation)
    assert end_of(events) == "cancelled"
    assert tap.runs == []


async def test_a_stop_while_settling_comes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the tokens of a whole answer are being counted, a stop changes nothing: it had finished."""
    counting, go = threading.Event(), threading.Event()

    def count(text: str, model: str) -> tuple[int, str]:
        counting.set()
        assert go.wait(10)
        return len(text), "counted"

    monkeypatch.setattr(tokens, "count", count)
    async with generating(tap := Tap(), total_s=60) as generation:
        run = await tap.asked()
        run.say("long " * 4000)
        run.finish()
        await until(counting.is_set)
        generation.stop(StreamError("cancelled", ""))
        generation.tick(asyncio.get_running_loop().time() + 3600)
        go.set()
        assert end_of(await settled(generation)) == "stop"


async def test_a_stop_from_within_the_sink() -> None:
    """A viewer whose wake-up ends the answer, in the task's own step and at its last event, costs no terminal."""

    class Stopper(Viewer):
        def wake(self) -> None:
            generation.stop(StreamError("cancelled", "enough"))

    class Burst(Tap):
        async def run(self, request: ChatRequest, sink: Any) -> Any:
            run = Run(request, sink)
            run.say("long " * 4000)
            run.finish()
            return await run.wait()

    async with generating(Burst()) as generation:
        generation.log.attach(Stopper())
        events = await settled(generation)
    assert text_of(events) == "long " * 4000


async def test_a_provider_that_will_not_be_cancelled() -> None:
    """Of one that swallows its cancellation and goes on talking nothing more is taken."""

    class Deaf(Tap):
        async def run(self, request: ChatRequest, sink: Any) -> Any:
            run = Run(request, sink)
            self.runs.append(run)
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                sink([TextDelta(text="more ")])

    async with generating(tap := Deaf()) as generation:
        await until(lambda: generation.log.tail > 3)
        generation.stop(StreamError("cancelled", ""))
        said = generation.log.tail
        assert end_of(await settled(generation)) == "cancelled"
        assert generation.log.tail == said + 2
        assert len(tap.runs) == 1


async def test_text_that_no_encoding_holds_is_counted() -> None:
    """A lone surrogate in an answer does not cost it its terminal."""
    async with generating(tap := Tap()) as generation:
        run = await tap.asked()
        run.say("\ud800")
        run.finish()
        assert end_of(await settled(generation)) == "stop"


async def test_draining_seals_what_does_not_end() -> None:
    """Drained: what ends in time is whole, the rest is `draining`, and a new answer is refused with 503."""
    generations = Generations(StreamSettings(), metrics=Metrics())
    tap, attempt = Tap(), None
    attempt = Attempt(provider=tap, request=ChatRequest(model="m", messages=()))
    quick, slow = generations.start([attempt]), generations.start([attempt])
    first, _ = await tap.asked(), await tap.asked(2)
    draining = asyncio.create_task(generations.drain(0.1))
    await until(lambda: generations.draining)
    with pytest.raises(RequestError) as refused:
        generations.start([attempt])
    assert (refused.value.status, refused.value.code) == (503, "draining")
    first.finish()
    await draining
    assert [end_of(await settled(one)) for one in (quick, slow)] == ["stop", "draining"]
    assert generations.running() == []
    await generations.close()


async def test_an_error_in_settling_still_ends_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong after the last token, a reader gets an end, and the log says why."""

    async def broken(generation: Generation, *, whole: bool) -> UsageReported:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr(Generation, "_usage", broken)
    script = [chunked_head() + said("Hel") + said("lo", '"stop"') + DONE]
    async with ScriptedUpstream(script) as upstream:
        with capture_logs() as logs:
            async with generating(OpenAIProvider(name="up", base_url=upstream.url)) as generation:
                events = await settled(generation)
    assert (end_of(events), text_of(events)) == ("internal", "Hello")
    assert [line["event"] for line in logs] == ["settling_failed"]
