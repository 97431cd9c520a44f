"""Reading recorded answers with a provider's reader, cut in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from hypothesis import strategies as st

from tailrace.errors import UpstreamError
from tailrace.events import Event
from tailrace.providers.answers import AnswerReader
from tailrace.providers.base import Finish
from tailrace.requests import ChatRequest, Message, user_message

WIRE: Final = Path(__file__).parents[1] / "wire"
NOW: Final = 1_800_000_000.5

MakeReader: TypeAlias = Callable[[], AnswerReader]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an answer: its events, and its end or its failure."""

    events: list[Event]
    finish: Finish | None = None
    failure: tuple[str, str, int] | None = None


def recorded(name: str) -> bytes:
    """The bytes of a recording."""
    return (WIRE / name).read_bytes()


def read(make: MakeReader, pieces: Iterable[bytes]) -> Reading:
    """Read an answer that comes in `pieces` and then ends in order."""
    reader = make()
    events: list[Event] = []
    for piece in pieces:
        events += reader.feed(piece)
    events += reader.flush()
    try:
        return Reading(events=events, finish=reader.finish())
    except UpstreamError as error:
        return Reading(events=events, failure=(error.code, error.message, error.status))


def read_whole(make: MakeReader, body: bytes) -> Reading:
    """Read an answer that comes in one piece."""
    return read(make, [body])


def check_every_cut(make: MakeReader, body: bytes) -> None:
    """Assert that the answer reads the same wherever it is cut in two, and byte by byte."""
    expected = read_whole(make, body)
    assert read(make, (body[at : at + 1] for at in range(len(body)))) == expected
    for at in range(len(body)):
        assert read(make, [body[:at], body[at:]]) == expected, at


def check_every_loss(make: MakeReader, body: bytes) -> None:
    """Assert that an answer that ends too soon gives the first of its events, and never an end that was not said."""
    whole = read_whole(make, body)
    for at in range(len(body)):
        part = read_whole(make, body[:at])
        assert part.events == whole.events[: len(part.events)], at
        if part.finish is None:
            assert part.failure is not None
            assert part.failure[0] in {"upstream_cut", whole.failure and whole.failure[0]}, at
        else:
            assert part.finish == whole.finish, at


@st.composite
def cuts(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """The body in pieces of any sizes, empty ones included."""
    places = sorted(draw(st.lists(st.integers(0, len(body)), max_size=30)))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def ask(*messages: Message, **fields: Any) -> ChatRequest:
    """A request for the model "m"; without messages, with the user's "Hi"."""
    return ChatRequest(**{"model": "m", "messages": messages or (user_message("Hi"),), **fields})


def written(body: bytes) -> Any:
    """A request's body, parsed."""
    return msgspec.json.decode(body)
