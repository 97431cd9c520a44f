"""Which call a piece belongs to, however the server numbers its calls."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.errors import UpstreamError
from tailrace.events import Event, ToolCallDelta, ToolCallStarted
from tailrace.providers.openai.chunks import OpenAIReader
from tailrace.providers.openai.payloads import FunctionPiece, ToolCallPiece
from tailrace.providers.openai.tool_calls import ToolCalls

Call = tuple[int, str, str, str]


def piece(index: int | None = None, id_: str | None = None, name: str | None = None, arguments: Any = None) -> Any:
    return ToolCallPiece(index=index, id=id_, function=FunctionPiece(name=name, arguments=arguments))


def joined(*pieces: ToolCallPiece) -> list[Call]:
    """The calls that the pieces make: number, id, name and arguments of each."""
    calls = ToolCalls(choice=0, nonce="n")
    events: list[Event] = []
    for each in pieces:
        calls.take(each, events)
    calls.check()
    arguments: dict[int, str] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            arguments[event.call] = arguments.get(event.call, "") + event.arguments
    started = [event for event in events if isinstance(event, ToolCallStarted)]
    return [(event.call, event.id, event.name, arguments.get(event.call, "")) for event in started]


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        pytest.param(
            [
                piece(0, None, "f", '{"a":'),
                piece(0, None, "f", "1}"),
                piece(0, None, "f", '{"a":2}'),
                piece(0, None, "f", ""),
            ],
            [(0, "call_n_0", "f", '{"a":1}'), (1, "call_n_1", "f", '{"a":2}')],
            id="all numbered 0, without ids, the name in every piece",
        ),
        pytest.param(
            [piece(0, "a", "f"), piece(1, "b", "g"), piece(1, None, None, "{1}"), piece(0, None, None, "{0}")],
            [(0, "a", "f", "{0}"), (1, "b", "g", "{1}")],
            id="index tells calls apart",
        ),
        pytest.param(
            [piece(3, "a", "f", "x"), piece(9, "b", "g", "y")],
            [(0, "a", "f", "x"), (1, "b", "g", "y")],
            id="calls are counted from 0 whatever the server counts",
        ),
        pytest.param(
            [piece(0, "a", "f", "{"), piece(0, "a", "f", "}")],
            [(0, "a", "f", "{}")],
            id="id and name repeated with each piece are one call",
        ),
        pytest.param(
            [piece(0, "a", "f", "{"), piece(0, "fresh", None, "}")],
            [(0, "a", "f", "{}")],
            id="a new id without a name goes on with the call",
        ),
        pytest.param(
            [piece(0, "a", "f", "x"), piece(0, "b", "f", "y"), piece(0, None, None, "z")],
            [(0, "a", "f", "x"), (1, "b", "f", "yz")],
            id="another id and a name at the same index are another call",
        ),
        pytest.param(
            [piece(0, None, "f", "x"), piece(0, None, "g", "y")],
            [(0, "call_n_0", "f", "x"), (1, "call_n_1", "g", "y")],
            id="another name at the same index is another call",
        ),
        pytest.param(
            [piece(None, "a", "f", "1"), piece(None, "b", "g", "2"), piece(None, "a", None, "3"), piece(arguments="4")],
            [(0, "a", "f", "134"), (1, "b", "g", "2")],
            id="without an index the id tells, else it is the call of the piece before",
        ),
        pytest.param(
            [piece(name="f", arguments="x"), piece(name="f", arguments="y")],
            [(0, "call_n_0", "f", "x"), (1, "call_n_1", "f", "y")],
            id="without index and id each name begins a call",
        ),
        pytest.param(
            [piece(0, "a", None, "{"), piece(0, None, "f", "}")],
            [(0, "a", "f", "{}")],
            id="arguments wait for the name",
        ),
        pytest.param([piece(0, "a", "f", {"x": 1})], [(0, "a", "f", '{"x":1}')], id="arguments as JSON become text"),
        pytest.param([piece(0, "a", "f"), piece(0)], [(0, "a", "f", "")], id="no arguments"),
    ],
)
def test_numbering(pieces: list[ToolCallPiece], calls: list[Call]) -> None:
    """Each piece reaches its call, and every call has a number, an id and a name."""
    assert joined(*pieces) == calls


def test_piece_without_function() -> None:
    """A piece with only an id announces nothing until the name comes."""
    assert joined(ToolCallPiece(index=0, id="a"), piece(0, None, "f", "{}")) == [(0, "a", "f", "{}")]


def test_another_choice() -> None:
    """Ids that are made up differ between choices, and the events name their choice."""
    events: list[Event] = []
    ToolCalls(choice=2, nonce="n").take(piece(name="f"), events)
    assert events == [ToolCallStarted(call=0, id="call_n2_0", name="f", choice=2)]


def test_another_answer() -> None:
    """Ids that are made up differ between answers, though nobody gave a nonce, and are one answer's own throughout."""
    chunk = b'data: {"choices":[{"delta":{"tool_calls":[{"index":%d,"function":{"name":"f"}}]}}]}\n\n'
    answers = [OpenAIReader(model="m", now=0.0).feed(chunk % 0 + chunk % 1) for _ in range(2)]
    first, second = [[event.id for event in events if isinstance(event, ToolCallStarted)] for events in answers]
    assert len({*first, *second}) == 4
    assert first[0].removesuffix("_0") == first[1].removesuffix("_1")


def test_no_name() -> None:
    """A call that never gets a name can't be made, so the answer is invalid."""
    with pytest.raises(UpstreamError) as caught:
        joined(piece(0, "a", None, "{}"))
    assert caught.value.code == "upstream_invalid"
