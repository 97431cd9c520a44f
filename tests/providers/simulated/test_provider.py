"""The simulated model: what it says, when it says it, and how it goes wrong when told to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import validate
from markdown_it import MarkdownIt

from tailrace.errors import RequestError, UpstreamError
from tailrace.events import (
    Event,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.providers.base import Finish
from tailrace.providers.simulated import SimulatedProvider, specimen
from tailrace.providers.simulated.script import Script, parse_script
from tailrace.requests import ChatRequest, Tool, user_message

PROMPT = "What is a tailrace?"

SEARCH = Tool(
    name="search",
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string"},
            "limit": {"type": "integer", "minimum": 5},
            "score": {"type": ["null", "number"]},
            "exact": {"type": "boolean"},
            "order": {"enum": ["up", "down"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "where": {"$ref": "#/$defs/place"},
            "when": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["query", "limit", "score", "exact", "order", "tags", "where", "when"],
        "additionalProperties": False,
        "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    },
)


class Heard:
    """A sink that remembers what came, and when."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, list[Event]]] = []

    def __call__(self, events: list[Event]) -> None:
        self.calls.append((time.monotonic(), events))

    @property
    def events(self) -> list[Event]:
        return [event for _, events in self.calls for event in events]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def tokens(self) -> list[Event]:
        return [event for event in self.events if not isinstance(event, Started | UsageReported)]

    @property
    def usage(self) -> UsageReported:
        (usage,) = (event for event in self.events if isinstance(event, UsageReported))
        return usage


async def play(model: str, prompt: str = PROMPT, **asked: Any) -> tuple[Heard, Finish]:
    heard = Heard()
    request = ChatRequest(model=model, messages=(user_message(prompt),), **asked)
    return heard, await SimulatedProvider().run(request, heard)


@contextmanager
def refused(code: str) -> Iterator[pytest.ExceptionInfo[UpstreamError]]:
    with pytest.raises(UpstreamError) as caught:
        yield caught
    assert caught.value.code == code


async def test_the_default_answer() -> None:
    """About 100 tokens, one each 20 ms, whole Markdown that quotes the prompt, an honest usage, the end last."""
    heard, finish = await play("")
    first, last = heard.calls[0][0], heard.calls[-1][0]
    assert isinstance(heard.events[0], Started)
    assert 80 <= len(heard.tokens) <= 120
    assert last - first >= 0.02 * (len(heard.tokens) - 1) - 0.005
    assert len(heard.calls) > 10
    assert PROMPT in heard.text
    assert heard.text.endswith(".\n")
    assert heard.events[-1] == UsageReported(
        input_tokens=5, output_tokens=len(heard.tokens), reasoning_tokens=0, source="reported"
    )
    assert finish == Finish(reason="stop")


async def test_same_prompt_same_answer() -> None:
    """The answer depends on the prompt and on nothing else."""
    once, _ = await play("n300-d0-r20-t2")
    again, _ = await play("n300-d0-r20-t2")
    other, _ = await play("n300-d0-r20-t2", "Something else")
    assert once.tokens == again.tokens
    assert once.tokens != other.tokens


@pytest.mark.parametrize(
    "prompt", ["", "a\n\nb", "`code` and **bold**", "# not a heading", "x" * 5_000, "<b>|</b>", "\x1b[31m\ud800"]
)
def test_markdown_stays_whole(prompt: str) -> None:
    """Whatever the prompt, the page keeps its shape: heading, quote, bold, list, table, code."""
    page = "".join(specimen.answer_tokens(prompt))
    tokens = MarkdownIt().enable("table").parse(page)
    kinds = [token.type for token in tokens if token.level == 0 and token.nesting >= 0]
    assert kinds == [
        "heading_open",
        "paragraph_open",
        "blockquote_open",
        "paragraph_open",
        "ordered_list_open",
        "table_open",
        "fence",
        "paragraph_open",
    ]
    page.encode()
    assert "\x1b" not in page
    quoted = next(token for token in tokens if token.type == "inline" and token.level == 2)
    assert {child.type for child in quoted.children or []} == {"text"}


@given(st.text())
def test_tokens_are_the_text(text: str) -> None:
    """Cutting a text into tokens loses nothing and makes no empty token."""
    tokens = specimen.tokenize(text)
    assert "".join(tokens) == text
    assert all(tokens)


@pytest.mark.parametrize("count", [1, 2, 99, 1_000, 100_000])
async def test_count(count: int) -> None:
    """`n` is the exact number of tokens; a long answer repeats the page."""
    heard, _ = await play(f"n{count}-d0")
    assert len(heard.tokens) == count
    assert heard.usage.output_tokens == count


async def test_delay_has_no_drift() -> None:
    """Tokens keep to the clock: 60 of them 5 ms apart take 295 ms, a held-up loop is caught up with in one call."""
    loop = asyncio.get_running_loop()
    heard = Heard()
    request = ChatRequest(model="n60-d5", messages=(user_message(PROMPT),))
    started = time.monotonic()
    loop.call_later(0.05, time.sleep, 0.1)
    await SimulatedProvider().run(request, heard)
    assert time.monotonic() - started >= 0.29
    assert max(len(events) for _, events in heard.calls) >= 15
    assert len(heard.tokens) == 60


async def test_first_token_delay() -> None:
    """`f` holds the first token back, and with it `Started`."""
    started = time.monotonic()
    heard, _ = await play("n1-d0-f80")
    assert heard.calls[0][0] - started >= 0.079


async def test_reasoning_first() -> None:
    """`r` reasoning tokens come before the text and are counted on their own."""
    heard, _ = await play("n3-r7-d0")
    assert [type(event) for event in heard.tokens] == [ReasoningDelta] * 7 + [TextDelta] * 3
    assert (heard.usage.output_tokens, heard.usage.reasoning_tokens) == (10, 7)


async def test_tool_calls_fit_their_schemas() -> None:
    """`t` calls the request's tools in turn, with arguments that their JSON Schema accepts."""
    heard, finish = await play("n2-d0-t3", tools=(SEARCH, Tool(name="ping")))
    calls = [event for event in heard.tokens if isinstance(event, ToolCallStarted)]
    assert [call.name for call in calls] == ["search", "ping", "search"]
    assert len({call.id for call in calls}) == 3
    assert finish.reason == "tool_calls"
    validate(arguments_of(heard, 0), SEARCH.parameters or {})
    assert arguments_of(heard, 1) == {}


def test_hostile_schemas() -> None:
    """A schema that unfolds without end, or asks for huge values, costs little and gives an object all the same."""
    branches = {f"p{index}": {"$ref": "#"} for index in range(100)}
    for schema in ({"type": "object", "properties": branches}, {"const": {"a": "x" * 100_000}}, {"enum": 7}):
        started = time.thread_time()
        assert isinstance(json.loads(specimen.arguments(schema)), dict)
        assert time.thread_time() - started < 1


async def test_tool_calls_without_tools() -> None:
    """Without tools in the request a made-up `get_weather` is called, its arguments in several pieces."""
    heard, _ = await play("n1-d0-t1")
    assert [event.name for event in heard.tokens if isinstance(event, ToolCallStarted)] == ["get_weather"]
    assert set(arguments_of(heard, 0)) == {"city"}
    assert sum(isinstance(event, ToolCallDelta) for event in heard.tokens) > 1


async def test_tool_choice() -> None:
    """A named tool is the one called; "none" calls none."""
    named, _ = await play("n1-d0-t2", tools=(SEARCH, Tool(name="ping")), tool_choice=("tool", "ping"))
    assert [event.name for event in named.tokens if isinstance(event, ToolCallStarted)] == ["ping", "ping"]
    none, finish = await play("n1-d0-t2", tools=(SEARCH,), tool_choice="none")
    assert len(none.tokens) == 1
    assert finish.reason == "stop"


def arguments_of(heard: Heard, call: int) -> Any:
    pieces = (event for event in heard.tokens if isinstance(event, ToolCallDelta))
    return json.loads("".join(piece.arguments for piece in pieces if piece.call == call))


@pytest.mark.parametrize(("asked", "reason"), [(1, "length"), (9, "length"), (10, "stop"), (11, "stop")])
async def test_max_tokens(asked: int, reason: str) -> None:
    """`max_tokens` is kept, reasoning included; an answer that just fits is whole."""
    heard, finish = await play("n6-r4-d0", max_tokens=asked)
    assert len(heard.tokens) == min(asked, 10)
    assert finish.reason == reason


@pytest.mark.parametrize("stop", ["quotes", "**No", "No model", "\n\n", "## A", "“"])
async def test_stop(stop: str) -> None:
    """The text ends before the first stop sequence, wherever in a token it begins, and the finish names it."""
    whole, _ = await play("d0")
    heard, finish = await play("d0", stop=("never said", stop, ""))
    if stop in whole.text:
        assert heard.text == whole.text[: whole.text.index(stop)]
        assert finish == Finish(reason="stop", stop_sequence=stop)
    else:
        assert heard.text == whole.text
        assert finish == Finish(reason="stop")


async def test_cut() -> None:
    """`x` breaks off after so many tokens, also right before the end, with no usage; beyond the end it never does."""
    for cut in (0, 3, 5):
        heard = Heard()
        with refused("upstream_cut"):
            await SimulatedProvider().run(ChatRequest(model=f"n5-d0-x{cut}", messages=()), heard)
        assert len(heard.events) == (cut + 1 if cut else 0)
    _, finish = await play("n5-d0-x6")
    assert finish.reason == "stop"


async def test_stall() -> None:
    """`s` falls silent after so many tokens and stays so until it is cancelled."""
    heard = Heard()
    run = SimulatedProvider().run(ChatRequest(model="n5-d0-s3", messages=()), heard)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run, 0.1)
    assert len(heard.tokens) == 3


@pytest.mark.parametrize(
    ("status", "code", "mapped", "retry_after"),
    [
        (400, "upstream_refused", 400, None),
        (401, "upstream_auth", 502, None),
        (404, "upstream_refused", 404, None),
        (429, "upstream_refused", 429, 1),
        (500, "upstream_error", 502, None),
        (529, "upstream_error", 529, None),
    ],
)
async def test_refusal(status: int, code: str, mapped: int, retry_after: float | None) -> None:
    """`e` fails as a vendor with this status would, before any content."""
    heard = Heard()
    with refused(code) as caught:
        await SimulatedProvider().run(ChatRequest(model=f"e{status}", messages=()), heard)
    assert (caught.value.status, caught.value.retry_after) == (mapped, retry_after)
    assert heard.calls == []


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        ("gpt-4o", "'gpt'"),
        ("n5-q3", "no letter 'q'"),
        ("n0", "'n' goes from 1 to 1000000"),
        ("n1000001", "'n' goes from 1 to 1000000"),
        ("d60001", "'d' goes from 0 to 60000"),
        ("e200", "'e' goes from 400 to 599"),
        ("n5-n6", "'n' is there twice"),
        ("n", "'n' is not a letter and a number"),
        ("n5-", "'' is not a letter and a number"),
        ("n٣", "is not a letter and a number"),
        ("n" + "9" * 5_000, "is not a letter and a number"),
    ],
)
async def test_bad_scripts(model: str, wrong: str) -> None:
    """A bad script is 404, saying which part is wrong and which letters there are, in a message of bounded length."""
    with pytest.raises(RequestError) as caught:
        await play(model)
    assert (caught.value.status, caught.value.code, caught.value.field) == (404, "model_not_found", "model")
    assert wrong in caught.value.message
    assert all(f"{letter} " in caught.value.message for letter in "ndfrtxse")
    assert len(caught.value.message) < 800


def test_scripts_combine() -> None:
    """Letters combine in any order, and both names of the default mean the same."""
    assert parse_script("d5-n200") == parse_script("n200-d5") == Script(tokens=200, delay_ms=5)
    assert parse_script("simulated") == parse_script("") == Script()


async def test_models_can_be_run() -> None:
    """Every model that is listed is a script, and so is the default."""
    provider = SimulatedProvider()
    for model in [*await provider.models(), provider.default_model]:
        assert isinstance(parse_script(model), Script)


async def test_what_the_sink_raises_comes_through() -> None:
    """An exception of the sink's ends the run as it is, and nothing more is sent."""
    seen: list[int] = []

    def full(events: list[Event]) -> None:
        seen.append(len(events))
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        await SimulatedProvider().run(ChatRequest(model="n5-d1", messages=()), full)
    await asyncio.sleep(0.01)
    assert len(seen) == 1


@pytest.mark.parametrize("model", ["n1000000-d0", "n1000-d1"])
async def test_cancel_works_at_once(model: str) -> None:
    """Once cancelled nothing more is sent, even while all tokens are due."""
    heard = Heard()
    begun = asyncio.Event()

    def sink(events: list[Event]) -> None:
        heard(events)
        begun.set()

    task = asyncio.create_task(SimulatedProvider().run(ChatRequest(model=model, messages=()), sink))
    await begun.wait()
    task.cancel()
    sent = len(heard.events)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(heard.events) == sent < 1_000_000


async def test_many_streams_keep_time() -> None:
    """1,000 streams at a token each 20 ms, side by side, are all whole; one event for each token."""
    heard = [Heard() for _ in range(1_000)]
    request = ChatRequest(model="n10-d20", messages=(user_message(PROMPT),))
    await asyncio.gather(*(SimulatedProvider().run(request, one) for one in heard))
    assert {len(one.tokens) for one in heard} == {10}
