"""A message's items as they were written: the list of them in JSON is its `verbatim`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.dialects.base import json_bytes
from tailrace.dialects.openai_responses.names import parse_adopted_id, parse_item_id

_read_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def split_items(written: msgspec.Raw) -> list[msgspec.Raw]:
    """Each item of a list, as it was written."""
    return _read_list(written)


def join_items(*lists: msgspec.Raw) -> msgspec.Raw:
    """The items of the lists as one."""
    return _list_of([bytes(item) for written in lists for item in split_items(written)])


def write_items(items: Sequence[Any]) -> msgspec.Raw:
    """Items as a message's verbatim."""
    return msgspec.Raw(json_bytes(items))


def restore_item(item: msgspec.Raw) -> msgspec.Raw:
    """An item of the client's as a message's verbatim, by the name that the upstream knows it by.

    One that only we have given is left out: no upstream knows it.
    """
    written = bytes(item)
    fields: dict[str, Any] = dict(_read_fields(written)) if b'"id"' in written else {}
    name = msgspec.json.decode(fields.get("id", msgspec.Raw(b"null")))
    if not isinstance(name, str):
        return _list_of([written])
    if (adopted := parse_adopted_id(name)) is not None:
        return _list_of([json_bytes({**fields, "id": adopted.upstream_id})])
    if parse_item_id(name) is not None:
        return _list_of([json_bytes({key: value for key, value in fields.items() if key != "id"})])
    return _list_of([written])


def _list_of(items: Sequence[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[%b]" % b",".join(items))
