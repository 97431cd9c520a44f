"""Blocks, which come one after another whatever the upstream's events do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contracts.test_dialects import logs

from tailrace.dialects.anthropic.arguments import Arguments
from tailrace.dialects.anthropic.blocks import Blocks, Delta, Move, Start, Stop
from tailrace.events import Event, Opaque, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, ToolCallStarted

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)


def start(call: int, name: str = "look") -> ToolCallStarted:
    return ToolCallStarted(call=call, id=f"call_{call}", name=name)


def piece(call: int, arguments: str) -> ToolCallDelta:
    return ToolCallDelta(call=call, arguments=arguments)


def moves(*events: Event) -> list[Move]:
    blocks = Blocks()
    return [move for event in events for move in blocks.take(event)] + blocks.end()


def shown(found: Sequence[Move]) -> list[str]:
    """Moves in short: `+` and what opens, its pieces, `-` where it closes."""
    said: list[str] = []
    for move in found:
        match move:
            case Start(block=block):
                said.append("+" + str(block.get("id", block["type"])))
            case Delta(delta=delta):
                said.append(str(next(value for name, value in delta.items() if name != "type")))
            case Stop():
                said.append("-")
    return said


def cut(text: str, places: Sequence[int]) -> list[str]:
    """A text in pieces."""
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[first:last] for first, last in pairwise(edges)]


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[dict[str, Any], list[Event]]:
    """Tool calls with any arguments, by their ids, and their pieces in any order that keeps each call's own."""
    wanted = draw(st.lists(OBJECTS, min_size=1, max_size=4))
    strands: list[list[Event]] = []
    for call, arguments in enumerate(wanted):
        places = draw(st.lists(st.integers(0, 200), max_size=4))
        strands.append([start(call), *(piece(call, part) for part in cut(json.dumps(arguments), places))])
    events: list[Event] = []
    while strands:
        strand = draw(st.sampled_from(strands))
        events.append(strand.pop(0))
        strands = [strand for strand in strands if strand]
    return {f"call_{call}": arguments for call, arguments in enumerate(wanted)}, events


def check_order(found: Sequence[Move]) -> None:
    """Assert that blocks are numbered from 0 and that each is closed before the next opens."""
    inside = False
    count = 0
    for move in found:
        if isinstance(move, Start):
            assert not inside
            assert move.index == count
            inside, count = True, count + 1
        else:
            assert inside
            assert move.index == count - 1
            inside = isinstance(move, Delta)
    assert not inside


# Order


@given(events=logs())
def test_blocks_never_overlap(events: list[Event]) -> None:
    """Whatever comes, blocks are numbered from 0 without a gap, and at most one is open."""
    check_order(moves(*events))


@given(case=interleaved())
def test_calls_in_turns_come_out_one_by_one(case: tuple[dict[str, Any], list[Event]]) -> None:
    """Calls whose pieces come in any order are blocks one after another, each with its own arguments whole."""
    wanted, events = case
    found = moves(*events)
    check_order(found)
    calls: dict[str, str] = {}
    current = ""
    for move in found:
        if isinstance(move, Start):
            current = move.block["id"]
            calls[current] = ""
        elif isinstance(move, Delta):
            calls[current] += move.delta["partial_json"]
    assert {call: json.loads(arguments) for call, arguments in calls.items()} == wanted


def test_calls_one_after_another_wait_for_nothing() -> None:
    """Where a call is whole before the next begins, each piece is shown as it comes."""
    blocks = Blocks()
    events: list[Event] = [
        start(0),
        piece(0, '{"at":'),
        piece(0, '"}"}'),
        start(1),
        piece(1, "{}"),
        TextDelta(text="Done."),
    ]
    assert [shown(blocks.take(event)) for event in events] == [
        ["+call_0"],
        ['{"at":'],
        ['"}"}'],
        ["-", "+call_1"],
        ["{}"],
        ["-", "+text", "Done."],
    ]
    assert shown(blocks.end()) == ["-"]


def test_what_is_not_the_open_calls_waits() -> None:
    """While a call's arguments are not whole, only they go on; then comes what waited, in its order."""
    blocks = Blocks()
    held: list[Event] = [start(1), piece(1, '{"b"'), TextDelta(text="Well"), TextDelta(text=","), piece(1, ":2}")]
    assert shown(blocks.take(start(0))) == ["+call_0"]
    assert [shown(blocks.take(event)) for event in held] == [[]] * 5
    assert shown(blocks.take(piece(0, "{}"))) == ["{}", "-", "+call_1", '{"b":2}', "-", "+text", "Well,"]


def test_arguments_that_never_end_hold_nothing_back_for_ever() -> None:
    """At the end what waited is shown after all."""
    events: list[Event] = [start(0), piece(0, '{"at":'), start(1), piece(1, "{}"), TextDelta(text="Hm.")]
    assert shown(moves(*events)) == ["+call_0", '{"at":', "-", "+call_1", "{}", "-", "+text", "Hm.", "-"]


def test_a_number_that_begins_again() -> None:
    """A call that takes another's number ends it: what follows is the new one's, also where both had to wait."""
    events: list[Event] = [start(0, "a"), TextDelta(text="Hm."), start(0, "b"), piece(0, "{}")]
    assert shown(moves(*events)) == ["+call_0", "-", "+text", "Hm.", "-", "+call_0", "{}", "-"]
    events = [start(0), start(1), piece(1, "["), start(1), piece(0, "{}"), piece(1, "{}")]
    assert shown(moves(*events)) == ["+call_0", "{}", "-", "+call_1", "[", "-", "+call_1", "{}", "-"]


def test_pieces_of_no_call_are_nothing() -> None:
    """Arguments without a call, of one that is closed, or empty, have no block to go to."""
    events: list[Event] = [
        piece(0, "{}"),
        start(0),
        piece(0, ""),
        piece(0, "{}"),
        TextDelta(text="Hm."),
        piece(0, "{}"),
    ]
    assert shown(moves(*events)) == ["+call_0", "{}", "-", "+text", "Hm.", "-"]


def test_long_waits_are_cheap() -> None:
    """A call that never ends does not make each later piece cost more than the one before."""
    blocks = Blocks()
    blocks.take(start(0))
    blocks.take(start(1))
    for _ in range(20_000):
        assert blocks.take(piece(1, "x")) == []
        assert blocks.take(TextDelta(text="y")) == []
    assert sum(isinstance(move, Delta) for move in blocks.end()) == 2


# Kinds


def test_reasoning_ends_with_its_signature() -> None:
    """A signature seals its block; what is thought after it begins another. A signature alone is a block too."""
    events: list[Event] = [
        ReasoningDelta(text="Hm"),
        ReasoningDelta(text="."),
        ReasoningDelta(text="", signature="c2ln"),
        ReasoningDelta(text="So."),
        TextDelta(text="Yes."),
        ReasoningDelta(text="", signature="bmV4dA=="),
        ReasoningDelta(text=""),
    ]
    assert shown(moves(*events)) == [
        *("+thinking", "Hm", ".", "c2ln", "-"),
        *("+thinking", "So.", "-"),
        *("+text", "Yes.", "-"),
        *("+thinking", "bmV4dA==", "-"),
    ]


def test_a_refusal_is_text() -> None:
    """The format has no place for the words of a refusal but text."""
    blocks = Blocks()
    found = [*blocks.take(TextDelta(text="No: ")), *blocks.take(RefusalDelta(text="never."))]
    assert shown(found) == ["+text", "No: ", "never."]
    assert blocks.refused


def test_other_choices_are_not_shown() -> None:
    """The format has one answer: the first."""
    assert moves(TextDelta(text="b", choice=1), RefusalDelta(text="c", choice=2)) == []


# What Anthropic's own upstreams say besides


def opaque(kind: str, **payload: Any) -> Opaque:
    return Opaque(kind=kind, json=json.dumps(payload))


def test_blocks_without_events_pass_with_numbers_of_our_own() -> None:
    """A server's tool, its result and hidden reasoning are blocks as they came, but for their index."""
    hidden = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
    search = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}}
    query = {"type": "input_json_delta", "partial_json": "{}"}
    found = moves(
        TextDelta(text="Let me look."),
        opaque("redacted_thinking", type="content_block_start", index=7, content_block=hidden),
        opaque("redacted_thinking", type="content_block_stop", index=7),
        opaque("server_tool_use", type="content_block_start", index=8, content_block=search),
        opaque("server_tool_use", type="content_block_delta", index=8, delta=query),
        opaque("server_tool_use", type="content_block_stop", index=8),
    )
    assert found[3:] == [Start(1, hidden), Stop(1), Start(2, search), Delta(2, query), Stop(2)]


def test_citations_stay_with_their_text() -> None:
    """A citation goes into the open text; the next block of text is one of its own."""
    cited = {"type": "citations_delta", "citation": {"type": "page_location", "cited_text": "3 pm"}}
    next_text = {"type": "text", "text": "", "citations": []}
    assert moves(
        TextDelta(text="High at three."),
        opaque("citations_delta", type="content_block_delta", index=2, delta=cited),
        opaque("text", type="content_block_start", index=3, content_block=next_text),
        TextDelta(text="Low at nine."),
    ) == [
        Start(0, {"type": "text", "text": ""}),
        Delta(0, {"type": "text_delta", "text": "High at three."}),
        Delta(0, cited),
        Stop(0),
        Start(1, next_text),
        Delta(1, {"type": "text_delta", "text": "Low at nine."}),
        Stop(1),
    ]


@pytest.mark.parametrize(
    "json_text",
    [
        *("null", "[]", '"x"', "{", "\ud83d", '{"type":5}'),
        '{"content":[]}',
        '{"type":"message_stop"}',
        '{"type":"content_block_start"}',
        '{"type":"content_block_start","content_block":{"type":5}}',
        '{"type":"content_block_delta","delta":{"type":"citations_delta"}}',
        '{"type":"content_block_stop"}',
    ],
)
def test_other_vendors_words_are_not_shown(json_text: str) -> None:
    """What is no part of a block in this format has no place in it."""
    assert moves(Opaque(kind="logprobs", json=json_text)) == []


# Arguments


@given(value=OBJECTS, places=st.lists(st.integers(0, 500)), spaces=st.sampled_from(["", " ", "\n\t"]))
def test_arguments_are_whole_at_their_last_bracket(value: dict[str, Any], places: list[int], spaces: str) -> None:
    """However an object is cut, it is whole with its last bracket and not before."""
    text = spaces + json.dumps(value, ensure_ascii=False)
    arguments = Arguments()
    told: list[bool] = []
    for part in cut(text, places):
        arguments.feed(part)
        told.append(arguments.whole)
    assert told == [False] * (len(told) - 1) + [True]


@pytest.mark.parametrize("text", ["", " ", "5", '"{}"', '{"a":"}', '{"a":"\\"}', "[{}", '{"\\\\\\"}'])
def test_arguments_that_are_not_whole(text: str) -> None:
    """Brackets within strings, escaped quotes and what is no object don't end anything."""
    arguments = Arguments()
    for letter in text:
        arguments.feed(letter)
    assert not arguments.whole
