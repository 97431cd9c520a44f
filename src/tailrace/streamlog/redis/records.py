"""The records of a log in Redis, and their ids.

A record's id is `<epoch>-<number>`: the number is that of its last entry, 0 for a record that says who writes from then
on, and the largest one for the seal, so that nothing can follow it. Epoch 1 is the writer's that began the log, epoch 2
that of the worker which took it over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from tailrace.events import Event, Failed, Finished, Started
from tailrace.streamlog.codec import encode_run, sound_text
from tailrace.streamlog.faces import Face, make_face
from tailrace.streamlog.ring import RingLog

Record: TypeAlias = Sequence[Any]
"""As Redis gives it: the id, and the fields with their values in a row."""

SEALED: Final = 2**64 - 1
CREATED: Final = b"1-0"
TAKEN: Final = b"2-0"
TORN: Final = b"2-%d" % SEALED
_HEADER: Final = b"h"
_RUN: Final = b"r"


class Header(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The first record: whose log it is, and which worker writes it."""

    worker: str
    owner: str
    dialect: str
    session_id: str | None
    chat_id: str | None
    created_at: float


class Run(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Entries from number `first` on; `ended_at` is set where the log ends with them, `torn` where its writer did."""

    first: int
    events: list[Event]
    ended_at: float | None = None
    torn: bool = False


class _Encoded(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    first: int
    events: msgspec.Raw
    ended_at: float | None
    torn: bool


class Position(msgspec.Struct, frozen=True):
    """A record's id, read."""

    epoch: int
    number: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A log, or some of its records: those before `runs` may be missing, `top` is the last one's id."""

    header: Header
    runs: list[Run]
    top: bytes

    @property
    def ended_at(self) -> float | None:
        """When it was sealed; None while it runs."""
        return self.runs[-1].ended_at if self.runs else None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_header: Final = msgspec.msgpack.Decoder(Header).decode
decode: Final = msgspec.msgpack.Decoder(Run).decode
"""A run from its bytes. Raises msgspec.DecodeError for what is none of ours."""


def encode(first: int, events: Sequence[Event], *, now: float, torn: bool = False) -> bytes:
    """A run as bytes; one that ends in a terminal has the time."""
    ended_at = now if isinstance(events[-1], (Finished, Failed)) else None
    run = msgspec.Raw(encode_run(events))
    return _encode(_Encoded(first=first, events=run, ended_at=ended_at, torn=torn))


def encode_header(log: RingLog, worker: str) -> bytes:
    """The header of a log."""
    return _encode(
        Header(
            worker=worker,
            owner=sound_text(log.owner),
            dialect=log.dialect,
            session_id=None if log.session_id is None else sound_text(log.session_id),
            chat_id=None if log.chat_id is None else sound_text(log.chat_id),
            created_at=log.created_at,
        )
    )


def read_position(record_id: bytes) -> Position:
    """A record's id as numbers."""
    epoch, _, number = record_id.partition(b"-")
    return Position(int(epoch), int(number))


def read_runs(records: Iterable[Record]) -> list[Run]:
    """The runs among these records. Raises msgspec.DecodeError."""
    return [decode(fields[1]) for _, fields in records if fields[0] == _RUN]


def read_found(records: Sequence[Record]) -> Found | None:
    """The log that begins with these records; None where there are none. Raises msgspec.DecodeError."""
    if not records:
        return None
    (_, (field, value)), *_ = records
    if field != _HEADER:
        raise msgspec.DecodeError("the first record is no header")
    return Found(header=_decode_header(value), runs=read_runs(records), top=records[-1][0])


def face_of_records(log_id: str, opening: Sequence[Record], closing: Sequence[Record]) -> Face | None:
    """How a log looks from outside, from its first records and its last ones. Raises msgspec.DecodeError."""
    if (found := read_found(opening)) is None:
        return None
    last = read_runs(sorted(closing, key=lambda record: _order(record[0])))
    starts = [event for run in found.runs for event in run.events if isinstance(event, Started)]
    ends = [event for run in last for event in run.events[-2:]]
    tail = last[-1].first + len(last[-1].events) - 1 if last else 0
    header = found.header
    bare = Face(
        id=log_id,
        owner=header.owner,
        dialect=header.dialect,
        session_id=header.session_id,
        chat_id=header.chat_id,
        created_at=header.created_at,
        tail=tail,
    )
    return make_face(bare, [*starts[:1], *ends])


def _order(record_id: bytes) -> tuple[int, int]:
    position = read_position(record_id)
    return position.epoch, position.number
