"""The ids of responses and of the items in them, each of which leads back to the answer that it is of.

Items that we write are counted. Those of an upstream that speaks this format itself keep its id inside of ours.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeAlias

import msgspec

ItemPrefix: TypeAlias = Literal["msg", "rs", "fc"]

_RESPONSE: Final = re.compile(r"resp_([0-9a-f]{24})", re.ASCII)
_ITEM: Final = re.compile(r"(msg|rs|fc)_([0-9a-f]{24})([0-9a-f]{4,8})", re.ASCII)
_ADOPTED: Final = re.compile(r"[a-z]{1,12}_([0-9a-f]{24})_(.+)", re.ASCII | re.DOTALL)
_PREFIX: Final = re.compile(r"[a-z]{1,12}(?=_)", re.ASCII)


class ItemName(msgspec.Struct, frozen=True, kw_only=True):
    """Which item of which response: the `number`th, from 0, of those with this prefix."""

    response_id: str
    prefix: ItemPrefix
    number: int


class AdoptedName(msgspec.Struct, frozen=True, kw_only=True):
    """Which item of which response, by the id that the upstream gave it."""

    response_id: str
    upstream_id: str


def response_id(stream_id: str) -> str:
    """OpenAI's kind of id for a stream."""
    return f"resp_{stream_id.removeprefix('gen_')}"


def stream_id_of(response: str) -> str | None:
    """The stream that a response's id stands for; None where it is no id of ours."""
    found = _RESPONSE.fullmatch(response)
    return None if found is None else f"gen_{found[1]}"


def item_id(stream_id: str, prefix: ItemPrefix, number: int) -> str:
    """The id of an item of a stream's response."""
    return f"{prefix}_{stream_id.removeprefix('gen_')}{number:04x}"


def parse_item_id(item: str) -> ItemName | None:
    """What an item's id stands for; None where it is no id of ours."""
    match _ITEM.fullmatch(item):
        case None:
            return None
        case found:
            prefix: ItemPrefix = "msg" if found[1] == "msg" else "rs" if found[1] == "rs" else "fc"
            return ItemName(response_id=f"resp_{found[2]}", prefix=prefix, number=int(found[3], 16))


def adopt_id(stream_id: str, upstream_id: str) -> str:
    """The id of an item of a stream's response, where the upstream has named it: with the same prefix."""
    prefix = _PREFIX.match(upstream_id)
    return f"{prefix[0] if prefix else 'item'}_{stream_id.removeprefix('gen_')}_{upstream_id}"


def parse_adopted_id(item: str) -> AdoptedName | None:
    """What such an id stands for; None where it is none."""
    found = _ADOPTED.fullmatch(item)
    return None if found is None else AdoptedName(response_id=f"resp_{found[1]}", upstream_id=found[2])


def name_item(stream_id: str, item: Any) -> Any:
    """An upstream's item with our id, if it has one."""
    match item:
        case {"id": str(upstream_id)} if upstream_id:
            return {**item, "id": adopt_id(stream_id, upstream_id)}
        case _:
            return item
