"""A conversation as a model is asked: what is left out where it is long, and what never is."""

from __future__ import annotations

import itertools
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import tokens
from tailrace.errors import RequestError
from tailrace.events import (
    Event,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from tailrace.generation.conversations import answer_turn, continue_conversation, fits, read_turns, write_turns
from tailrace.generation.parts import parts_of
from tailrace.ledger import Turn
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    user_message,
)

WIDE: Final = 10**6


def said(role: Role, *parts: str | Part) -> Message:
    """A message; a str is a piece of text."""
    return Message(role=role, parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def called(*ids: str) -> Message:
    """An assistant's message that calls tools."""
    return said("assistant", *(ToolCall(id=call, name="f", arguments="{}") for call in ids))


def result(call: str) -> Message:
    """A tool's answer."""
    return said("tool", ToolResult(id=call, content=(Text(text="42"),)))


def history_of(*requests: list[Message]) -> list[Turn]:
    """The turns of these requests and answers, each with a time of its own."""
    return [turn for now, messages in enumerate(requests) for turn in write_turns(messages, now=float(now))]


def asked(*requests: list[Message], cap: int = WIDE) -> list[Message]:
    """What goes to the model when the last of these is asked after the others."""
    request = ChatRequest(model="m", messages=tuple(requests[-1]))
    return list(continue_conversation(history_of(*requests), request, cap=cap).messages)


HI, HELLO = said("user", "Hi"), said("assistant", "Hello")


def test_all_of_it_goes_in() -> None:
    """A conversation that fits goes to the model whole and in order."""
    new = said("user", "And now?")
    assert asked([HI], [HELLO], [new]) == [HI, HELLO, new]


def test_the_latest_system_prompt_holds_and_comes_first() -> None:
    """A later system prompt replaces the earlier one; without one in the new request the last one still holds."""
    first, second = said("system", "Be brief."), said("system", "Be long.")
    assert asked([first, HI], [HELLO], [HI]) == [first, HI, HELLO, HI]
    assert asked([first, HI], [HELLO], [second, HI]) == [second, HI, HELLO, HI]
    assert asked([first, HI], [HELLO], [second, HI], [HELLO], [HI]) == [second, HI, HELLO, HI, HELLO, HI]


def test_a_system_prompt_of_two_messages_stays_whole() -> None:
    """Two system messages of one request are one prompt."""
    one, two = said("system", "Be brief."), said("system", "Be kind.")
    assert asked([one, two, HI], [HELLO], [HI]) == [one, two, HI, HELLO, HI]
    assert asked([said("system", "Old."), HI], [HELLO], [one, HI, two]) == [one, two, HI, HELLO, HI]


def test_the_oldest_turns_are_left_out_first() -> None:
    """Beyond the cap the newest turns are sent, from a user's on; the system prompt is never left out."""
    system = said("system", "s " * 500)
    turns = [[said("user", "word " * 10)], [said("assistant", "word " * 10)]] * 20
    sent = asked([system], *turns, [HI], cap=100)
    assert sent[0] == system
    assert [message.role for message in sent[1:]] == ["user", "assistant"] * 3 + ["user"]
    assert count(sent[1:]) <= 100 < count(sent[1:]) + 2 * 14


def count(messages: list[Message]) -> int:
    """How long they are, one by one, in tokens."""
    return sum(tokens.count_request(ChatRequest(model="m", messages=(message,)), "m")[0] for message in messages)


def test_new_messages_always_go_in() -> None:
    """The new messages are sent though they alone are longer than the cap."""
    new = said("user", "word " * 100)
    assert asked([HI], [HELLO], [new], cap=5) == [new]


def test_a_tool_s_result_keeps_its_question() -> None:
    """A new tool result is sent with the turns back to the user's that led to its call, beyond the cap too."""
    question = said("user", "word " * 50)
    assert asked([HI], [HELLO], [question], [called("c1")], [result("c1")], cap=5) == [
        question,
        called("c1"),
        result("c1"),
    ]


def test_no_result_is_sent_without_its_call() -> None:
    """Where the call was cut off, for instance by `after`, its result goes too; a new one is the client's affair."""
    assert asked([HI], [result("c1")], [HI]) == [HI, HI]
    assert asked([HI], [result("c9")]) == [HI, result("c9")]


def test_no_call_is_sent_without_its_result() -> None:
    """A call that was never answered, as of an answer that was cut, is left out, and a message of nothing else."""
    thinking = said("assistant", Reasoning(text="hm", signature="s"), ToolCall(id="c1", name="f", arguments='{"a'))
    partly = said("assistant", "Look", ToolCall(id="c2", name="f", arguments="{}"))
    assert asked([HI], [thinking], [HI], [partly], [HI]) == [HI, HI, said("assistant", "Look"), HI]
    answered = [called("c1", "c2"), result("c1"), result("c2")]
    assert asked([HI], *([message] for message in answered), [HI]) == [HI, *answered, HI]
    assert asked([HI], [called("c1")], [result("c1")]) == [HI, called("c1"), result("c1")]


def test_an_answer_made_anew() -> None:
    """With no new message the conversation is sent as it stands, long or not."""
    assert asked([HI], [HELLO], [HI], []) == [HI, HELLO, HI]
    assert asked([said("user", "word " * 50)], [HELLO], [HI], [], cap=5) == [HI]


def test_a_new_message_goes_in_as_it_came() -> None:
    """What a turn does not keep, such as a speaker's name, is still in the new message."""
    named = msgspec.structs.replace(HI, name="ada")
    assert asked([HI], [HELLO], [named])[-1] is named


@pytest.mark.parametrize(
    "message",
    [
        said("user", "Hi", Image(url="http://x/y.png", detail="low")),
        said("assistant", Reasoning(text="hm", signature="s"), "So", ToolCall(id="c", name="f", arguments='{"a":1}')),
        said("tool", ToolResult(id="c", content=(Text(text="42"), Image(data="AA==", media_type="image/png")))),
        said("system", "Be brief.", "Be kind."),
    ],
)
def test_turns_are_read_as_they_were_written(message: Message) -> None:
    """Every kind of part survives being kept, and every turn has an id of its own."""
    turns = write_turns([message, message], now=1.0)
    assert read_turns(turns) == (message, message)
    assert len({turn.id for turn in turns}) == 2
    assert all(turn.id.startswith("msg_") for turn in turns)


def test_half_a_character_is_refused() -> None:
    """A message that no JSON can hold is 422, with its place."""
    with pytest.raises(RequestError, match="half a surrogate pair") as caught:
        write_turns([HI, said("user", "\ud83d")], now=1.0)
    assert (caught.value.status, caught.value.code, caught.value.field) == (422, "invalid_text", "messages.1")


# Any conversation

WORDS: Final = st.integers(1, 40).map("word ".__mul__)


@st.composite
def conversations(draw: st.DrawFn) -> list[list[Message]]:
    """Requests and answers in turn, with prompts, tools that are answered or not, and requests that failed."""
    numbers = itertools.count(1)
    requests: list[list[Message]] = []
    for _ in range(draw(st.integers(0, 6))):
        system = [said("system", draw(WORDS))] if draw(st.booleans()) else []
        requests.append([*system, said("user", draw(WORDS))])
        for _ in range(draw(st.integers(0, 2))):
            call = f"c{next(numbers)}"
            requests.append([called(call)])
            if draw(st.booleans()):
                requests.append([result(call)])
        if draw(st.booleans()):
            requests.append([said("assistant", draw(WORDS))])
    return [*requests, [said("user", draw(WORDS))]]


@given(requests=conversations(), cap=st.integers(1, 300))
def test_what_holds_for_every_conversation(requests: list[list[Message]], cap: int) -> None:
    """The latest prompt first, a user's turn next, calls and results in pairs, the new last, all within the cap."""
    sent = asked(*requests, cap=cap)
    prompts = [message for request in requests for message in request if message.role == "system"]
    assert [message for message in sent if message.role == "system"] == prompts[-1:]
    rest = sent[len(prompts[-1:]) :]
    assert rest[0].role == "user"
    assert rest[-1] is requests[-1][-1]
    calls = [part.id for message in rest for part in message.parts if isinstance(part, ToolCall)]
    results = [part.id for message in rest for part in message.parts if isinstance(part, ToolResult)]
    assert calls == results
    assert len(rest) == 1 or count(rest) <= cap
    flat = [message for request in requests for message in request]
    assert all(message in flat for message in rest)


@given(requests=conversations())
def test_nothing_is_left_out_of_what_fits(requests: list[list[Message]]) -> None:
    """Where the cap is wide all that was said is sent, but for calls that were never answered."""
    flat = [message for request in requests for message in request if message.role != "system"]
    answered = {part.id for message in flat for part in message.parts if isinstance(part, ToolResult)}
    kept = [
        message
        for message in flat
        if not any(isinstance(part, ToolCall) and part.id not in answered for part in message.parts)
    ]
    assert [message for message in asked(*requests) if message.role != "system"] == kept


@given(requests=conversations(), cap=st.integers(1, 2000))
def test_what_fits_by_its_bytes_fits(requests: list[list[Message]], cap: int) -> None:
    """The quick look never takes a conversation for shorter than the tokenizer does."""
    flat = [message for request in requests for message in request]
    assert not fits(history_of(*requests), cap) or count(flat) <= cap


# Answers


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ([], ()),
        ([Started(model="m", created_at=1.0), Opaque(kind="x", json="{}")], ()),
        ([TextDelta(text="Hel"), TextDelta(text="lo")], (Text(text="Hello"),)),
        ([RefusalDelta(text="I "), RefusalDelta(text="won't")], (Text(text="I won't"),)),
        (
            [TextDelta(text="a"), ReasoningDelta(text="hm"), TextDelta(text="b")],
            (Text(text="a"), Reasoning(text="hm"), Text(text="b")),
        ),
        (
            [
                ReasoningDelta(text="one"),
                ReasoningDelta(text="", signature="s1"),
                ReasoningDelta(text="two", signature="s2"),
            ],
            (Reasoning(text="one", signature="s1"), Reasoning(text="two", signature="s2")),
        ),
        (
            [
                ReasoningDelta(text="one", signature="s1"),
                Opaque(kind="web_search_call", json='{"type":"response.output_item.done","item":{}}'),
                ReasoningDelta(text="two", signature="s2"),
            ],
            (Reasoning(text="one"), Reasoning(text="two", signature="s2")),
        ),
        (
            [
                ToolCallStarted(call=0, id="a", name="f"),
                ToolCallStarted(call=1, id="b", name="g"),
                ToolCallDelta(call=1, arguments="{"),
                ToolCallDelta(call=0, arguments="{}"),
                ToolCallDelta(call=1, arguments="}"),
            ],
            (ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="g", arguments="{}")),
        ),
        ([TextDelta(text="first"), TextDelta(text="second", choice=1)], (Text(text="first"),)),
        (
            [TextDelta(text="\ud83d"), TextDelta(text="\ude00"), TextDelta(text="\ud83d")],
            (Text(text="\U0001f600\ufffd"),),
        ),
    ],
)
def test_an_answer_is_folded_into_parts(events: list[Event], parts: tuple[Part, ...]) -> None:
    """Neighbours of one kind are one part, a signature closes its reasoning, calls keep their arguments apart."""
    assert parts_of(events) == parts


@pytest.mark.parametrize("whole", [True, False])
def test_an_answer_as_a_turn(whole: bool) -> None:
    """It bears its generation's id, and says whether it is whole; one that says nothing is no turn."""
    turn: Any = answer_turn([TextDelta(text="Hello")], generation_id="gen_1", now=2.0, whole=whole)
    assert (turn.role, turn.generation_id, turn.created_at) == ("assistant", "gen_1", 2.0)
    assert turn.status == ("whole" if whole else "partial")
    assert read_turns([turn]) == (HELLO,)
    assert answer_turn([], generation_id="gen_1", now=2.0, whole=whole) is None
    assert user_message("Hi") == HI
