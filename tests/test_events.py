"""The events, as they are stored and sent between processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import Entry, Event, TextDelta, UsageReported

Encode = Callable[[object], bytes]
Decode = Callable[..., Any]

CODECS = [
    pytest.param(msgspec.json.encode, msgspec.json.decode, id="json"),
    pytest.param(msgspec.msgpack.encode, msgspec.msgpack.decode, id="msgpack"),
]

TAGS = {
    "Started": "started",
    "TextDelta": "text",
    "ReasoningDelta": "reasoning",
    "RefusalDelta": "refusal",
    "ToolCallStarted": "tool_call",
    "ToolCallDelta": "tool_call_delta",
    "UsageReported": "usage",
    "Opaque": "opaque",
    "Finished": "finished",
    "Failed": "failed",
}

LEAVES: dict[object, st.SearchStrategy[object]] = {
    str: st.text(),
    bytes: st.binary(),
    bool: st.booleans(),
    int: st.integers(0, 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    type(None): st.none(),
}


def values_of(kind: object) -> st.SearchStrategy[object]:
    """Any value of a field's type."""
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    return st.one_of([LEAVES[member] for member in get_args(kind) or (kind,)])


def events_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Any event of one type."""
    return st.builds(kind, **{field.name: values_of(field.type) for field in msgspec.structs.fields(kind)})


EVENTS = st.one_of([events_of(kind) for kind in get_args(Event)])
ENTRIES = st.builds(Entry, seq=st.integers(1, 2**63 - 1), event=EVENTS, count=st.integers(1, 2**31))


@pytest.mark.parametrize(("encode", "decode"), CODECS)
@given(entry=ENTRIES)
def test_entries_round_trip(encode: Encode, decode: Decode, entry: Entry) -> None:
    """Any entry comes back equal, of the same type, through JSON and MessagePack."""
    again = decode(encode(entry), type=Entry)
    assert again == entry
    assert type(again.event) is type(entry.event)


@pytest.mark.parametrize(("encode", "decode"), CODECS)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"type": "nonsense", "text": "x"}, "Invalid value 'nonsense'"),
        ({"type": 1, "text": "x"}, "Expected `str`"),
        ({"text": "x"}, "missing required field `type`"),
        ({"type": "text"}, "missing required field `text`"),
        ({"type": "text", "text": 1}, "Expected `str`, got `int`"),
        ({"type": "finished", "reason": "tired"}, "Invalid enum value 'tired'"),
    ],
)
def test_what_is_no_event_is_refused(encode: Encode, decode: Decode, value: dict[str, object], reason: str) -> None:
    """An unknown tag, no tag, a missing field or a wrong type is an error that says which, never another event."""
    with pytest.raises(msgspec.ValidationError, match=reason):
        decode(encode(value), type=Event)


def test_tags_are_those_that_stored_logs_hold() -> None:
    """Each event type has its own tag, and none has changed: a log written earlier must stay readable."""
    assert {kind.__name__: kind.__struct_config__.tag for kind in get_args(Event)} == TAGS


def test_defaults_take_no_room() -> None:
    """A field at its default is not written, so the commonest event is as short as can be."""
    assert msgspec.json.encode(TextDelta(text="Hi")) == b'{"type":"text","text":"Hi"}'
    assert msgspec.json.encode(UsageReported()) == b'{"type":"usage"}'


@given(event=EVENTS)
def test_events_do_not_change(event: msgspec.Struct) -> None:
    """No field of any event can be set."""
    for field in msgspec.structs.fields(event):
        with pytest.raises(AttributeError):
            setattr(event, field.name, None)
