"""What an answer used: the upstream's word, else a count, else an estimate, and never more sure than it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streamlog.specimens import CONTENT

from tailrace import tokens
from tailrace.errors import StreamError
from tailrace.events import (
    Event,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
    UsageSource,
)
from tailrace.generation.meter import Meter
from tailrace.requests import ChatRequest, Image, Message, Text, Tool, ToolResult, user_message

ASKED = ChatRequest(model="gpt-4o", messages=(user_message("How many words are in this?"),))
ASKED_TOKENS = tokens.count_request(ASKED, "gpt-4o")[0]
STARTED = Started(model="gpt-4o", created_at=0.0)
LARGE = 1 << 20


def texts(*pieces: str) -> list[Event]:
    return [TextDelta(text=piece) for piece in pieces]


def usage(input_tokens: int | None = None, output_tokens: int | None = None) -> UsageReported:
    return UsageReported(input_tokens=input_tokens, output_tokens=output_tokens)


def figures_of(meter: Meter) -> tuple[int, int, int, int]:
    return meter.deltas, meter.chars, meter.bytes, meter.framed


async def settle(events: Sequence[Event], *, whole: bool = True, request: ChatRequest = ASKED) -> UsageReported:
    """The figures of an answer that came in these events, one read each."""
    meter = Meter(request, max_bytes=LARGE)
    log: list[Event] = []
    for event in events:
        log += meter.fold([event])
    return await meter.settle(log, whole=whole)


# While it runs


def test_usage_stays_with_the_meter() -> None:
    """What belongs in the log is given back in order; the upstream's figures are kept until the end."""
    meter = Meter(ASKED, max_bytes=LARGE)
    events: list[Event] = [STARTED, usage(5), *texts("a"), Opaque(kind="k", json="{}"), usage(5, 1), *texts("b")]
    assert meter.fold(events) == [STARTED, *texts("a"), Opaque(kind="k", json="{}"), *texts("b")]
    assert meter.fold([usage(5, 2)]) == []


def test_without_usage_nothing_is_copied() -> None:
    """The common read costs no list of its own."""
    events = texts("a", "b")
    assert Meter(ASKED, max_bytes=LARGE).fold(events) is events


def test_what_is_counted_as_it_comes() -> None:
    """Everything that the model generates counts: text, reasoning, refusals, the names and arguments of tools."""
    meter = Meter(ASKED, max_bytes=LARGE)
    meter.fold(
        [
            STARTED,
            TextDelta(text="ab"),
            ReasoningDelta(text="c"),
            RefusalDelta(text="d"),
            ToolCallStarted(call=0, id="not counted", name="ef"),
            ToolCallDelta(call=0, arguments="{}"),
            Opaque(kind="not counted", json='"not counted"'),
            usage(1, 1),
        ]
    )
    assert (meter.deltas, meter.bytes) == (5, 8)


@given(events=st.lists(CONTENT, max_size=20), size=st.integers(1, 20))
def test_however_many_come_at_once(events: list[Event], size: int) -> None:
    """A read's events come to the same whether they are folded together or one after the other."""
    together, alone = Meter(ASKED, max_bytes=LARGE), Meter(ASKED, max_bytes=LARGE)
    kept = [event for start in range(0, len(events), size) for event in together.fold(events[start : start + size])]
    assert kept == [event for one in events for event in alone.fold([one])] == events
    assert figures_of(together) == figures_of(alone)


@given(pieces=st.lists(st.text(), max_size=10))
def test_bytes_are_those_of_utf8(pieces: list[str]) -> None:
    """The size is that of the text in UTF-8."""
    meter = Meter(ASKED, max_bytes=LARGE)
    meter.fold(texts(*pieces))
    assert meter.bytes == len("".join(pieces).encode())


@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
def test_too_long_at_the_exact_byte(letter: str) -> None:
    """An answer may be as long as the cap, in bytes, and one byte more ends it."""
    size = len(letter.encode())
    exact = Meter(ASKED, max_bytes=10 * size)
    exact.fold(texts(letter * 4))
    exact.fold(texts(letter * 6))
    with pytest.raises(StreamError) as caught:
        exact.fold(texts("a"))
    assert caught.value.code == "too_long"
    assert f"{10 * size} bytes" in caught.value.message
    with pytest.raises(StreamError):
        Meter(ASKED, max_bytes=10 * size - 1).fold(texts(letter * 10))


@pytest.mark.parametrize("caps", [{"max_bytes": 9}, {"max_bytes": LARGE, "max_tokens": 2.5}])
async def test_what_was_too_much_is_counted(caps: dict[str, float]) -> None:
    """The read that breaks a cap stays out of the log, but the upstream has sent it, and will have it paid."""
    meter = Meter(ASKED, **caps)  # type: ignore[arg-type]
    kept = meter.fold(texts("one"))
    with pytest.raises(StreamError):
        meter.fold(texts(" two", " three"))
    usage = await meter.settle(kept, whole=False)
    assert (usage.output_tokens, usage.source) == (tokens.count("one two three", ASKED.model)[0], "counted")


@pytest.mark.parametrize(
    "event",
    [
        ReasoningDelta(text="abcdef"),
        RefusalDelta(text="abcdef"),
        ToolCallStarted(call=0, id="c", name="abcdef"),
        ToolCallDelta(call=0, arguments="abcdef"),
    ],
)
def test_everything_generated_is_capped(event: Event) -> None:
    """Endless reasoning or arguments are no way around the cap."""
    meter = Meter(ASKED, max_bytes=5)
    with pytest.raises(StreamError):
        meter.fold([event])


@pytest.mark.parametrize(
    ("pieces", "estimate"),
    [
        ([" so"] * 7, 7),
        (["Rivers meander because the water is faster on the outside."], 11),
        (["蜿蜒"] * 4, 4),
        (["a", "b" * 49], 10),
    ],
)
def test_an_estimate_while_it_runs(pieces: list[str], estimate: int) -> None:
    """A delta is about a token, but for upstreams that send whole sentences in one: their letters tell."""
    meter = Meter(ASKED, max_bytes=LARGE)
    meter.fold(texts(*pieces))
    assert meter.tokens == estimate


def test_fat_deltas_are_capped() -> None:
    """A budget of ten tokens is not a budget of ten sentences, whatever the model generates; nor is it ever of nine."""
    sentence = "Rivers meander because of silt."
    for event in (TextDelta(text=sentence), ReasoningDelta(text=sentence), ToolCallDelta(call=0, arguments=sentence)):
        meter = Meter(ASKED, max_bytes=LARGE, max_tokens=10)
        meter.fold([event])
        with pytest.raises(StreamError) as caught:
            meter.fold([event])
        assert caught.value.code == "budget_exceeded"
    Meter(ASKED, max_bytes=LARGE, max_tokens=10).fold(texts(*[" word"] * 10))


def test_lone_surrogates_are_counted() -> None:
    """Text that no vocabulary can spell breaks nothing."""
    meter = Meter(ASKED, max_bytes=LARGE)
    meter.fold(texts("a\ud800"))
    assert meter.bytes >= 2


# At the end of a whole answer


async def test_reported() -> None:
    """Where the upstream said both figures, they hold, with all that it said beside them."""
    said = UsageReported(input_tokens=9, output_tokens=77, reasoning_tokens=5, cached_input_tokens=3)
    assert await settle([STARTED, *texts("Hi"), said]) == said


async def test_counted() -> None:
    """An upstream that says nothing is counted for, never zero."""
    counted = await settle([STARTED, *texts("Seven", " words")])
    assert counted == UsageReported(
        input_tokens=ASKED_TOKENS,
        output_tokens=tokens.count("Seven words", "gpt-4o")[0],
        source="counted",
    )
    assert counted.input_tokens
    assert counted.output_tokens == 2


async def test_the_whole_is_counted_not_its_pieces() -> None:
    """However the text was cut on its way, the count is that of the text."""
    assert await settle(texts(*"internationalization")) == await settle(texts("internationalization"))


async def test_everything_generated_is_billed() -> None:
    """Reasoning, refusals and tool calls count as output too."""
    events: list[Event] = [
        ReasoningDelta(text="one two"),
        RefusalDelta(text=" three"),
        ToolCallStarted(call=0, id="c", name=" four"),
        ToolCallDelta(call=0, arguments=" five"),
    ]
    assert (await settle(events)).output_tokens == tokens.count("one two three four five", "gpt-4o")[0]


@pytest.mark.parametrize(
    ("reports", "figures", "source"),
    [
        ([usage(9)], (9, 1), "counted"),
        ([usage(None, 77)], (ASKED_TOKENS, 77), "counted"),
        ([usage(9), usage(None, 77)], (9, 77), "reported"),
        ([usage(9, 1), usage(None, 50), usage(None, 77)], (9, 77), "reported"),
        ([usage(9, 77), usage()], (9, 77), "reported"),
        ([usage(9, 77), usage(0, 0)], (ASKED_TOKENS, 1), "counted"),
    ],
)
async def test_partial_reports(reports: list[Event], figures: tuple[int, int], source: UsageSource) -> None:
    """Later figures hold, what they leave out stays, and what nobody said is counted and labelled so."""
    settled = await settle([*texts("Hi"), *reports])
    assert (settled.input_tokens, settled.output_tokens, settled.source) == (*figures, source)


async def test_details_of_several_reports() -> None:
    """What one report says of reasoning and another of the cache comes together."""
    first = UsageReported(input_tokens=9, cached_input_tokens=4)
    second = UsageReported(output_tokens=7, reasoning_tokens=2)
    assert await settle([first, *texts("Hi"), second]) == UsageReported(
        input_tokens=9, output_tokens=7, reasoning_tokens=2, cached_input_tokens=4
    )


async def test_a_provider_that_only_counted_says_so() -> None:
    """A provider's figures keep the provider's own label."""
    said = UsageReported(input_tokens=9, output_tokens=7, source="counted")
    assert (await settle([*texts("Hi"), said])).source == "counted"


async def test_estimated() -> None:
    """An image's price is a secret of the vendor's, so what is asked with one is an estimate."""
    shown = ChatRequest(model="gpt-4o", messages=(Message(role="user", parts=(Image(url="https://example.org/a"),)),))
    assert (await settle(texts("Hi"), request=shown)).source == "estimated"
    assert (await settle([*texts("Hi"), usage(900, 1)], request=shown)).source == "reported"
    assert (await settle([*texts("Hi"), usage(None, 1)], request=shown)).source == "estimated"


async def test_a_request_that_nobody_knows() -> None:
    """Of somebody's own iterator the question is not known: its figure stays open, and only the answer is counted."""
    unasked = ChatRequest(model="", messages=())
    settled = await settle(texts("Hi there"), request=unasked)
    assert settled == UsageReported(input_tokens=None, output_tokens=2, source="counted")


# At the end of a broken one


async def test_interrupted_without_a_word() -> None:
    """A broken answer costs what came of it."""
    settled = await settle([STARTED, *texts("one two three")], whole=False)
    assert (settled.output_tokens, settled.source) == (3, "counted")


async def test_interrupted_after_a_stale_figure() -> None:
    """An upstream that opened with one output token and was cut later is counted for: its figure is old."""
    settled = await settle([STARTED, usage(9, 1), *texts("one two three")], whole=False)
    assert settled == UsageReported(input_tokens=9, output_tokens=3, source="counted")


async def test_interrupted_after_a_higher_figure() -> None:
    """Where the upstream already reported more than can be seen, such as hidden reasoning, its figure holds."""
    settled = await settle([STARTED, *texts("one two three"), usage(9, 500)], whole=False)
    assert settled == UsageReported(input_tokens=9, output_tokens=500, source="reported")


async def test_interrupted_with_nothing_said() -> None:
    """An answer that broke before its first token has no output."""
    assert (await settle([STARTED], whole=False)).output_tokens == 0


# In the event loop's time


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest(model="gpt-4o", messages=(user_message("long " * 4000),)),
        ChatRequest(
            model="gpt-4o",
            messages=(Message(role="tool", parts=(ToolResult(id="c", content=(Text(text="long " * 4000),)),)),),
        ),
        ChatRequest(
            model="gpt-4o", messages=(user_message("Hi"),), tools=(Tool(name="f", description="long " * 4000),)
        ),
    ],
    ids=["message", "tool result", "tool"],
)
async def test_long_texts_are_counted_in_a_thread(request_: ChatRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever makes a request long, counting it holds up nobody else's tokens."""
    counted_in: list[threading.Thread] = []
    count = tokens.count

    def watched(text: str, model: str) -> tuple[int, UsageSource]:
        counted_in.append(threading.current_thread())
        return count(text, model)

    monkeypatch.setattr(tokens, "count", watched)
    await settle(texts("Hi"), request=request_)
    assert counted_in
    assert threading.main_thread() not in counted_in


async def test_many_settle_at_once() -> None:
    """Generations that end together each get their own figures."""
    settled = await asyncio.gather(*(settle(texts("word " * number)) for number in range(1, 40)))
    counts = [figures.output_tokens or 0 for figures in settled]
    assert counts == sorted(counts)
    assert len(set(counts)) == len(counts)
