"""What upstreams say that has no event of its own, and a place in a response all the same."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_DONE: Final = "response.output_item.done"

_decode_annotations: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode


def read_annotations(json: str) -> list[dict[str, Any]]:
    """The annotations of an OpenAI upstream; in chat completions a citation's fields are one level lower."""
    try:
        return [_flatten(annotation) for annotation in _decode_annotations(json)]
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return []


def read_native(json: str) -> dict[str, Any] | None:
    """The item that an upstream of this format says is done; None where it says anything else."""
    if _DONE not in json:
        return None
    try:
        said = msgspec.json.decode(json)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None
    match said:
        case {"type": str(kind), "item": {"type": str(), "id": str()} as item} if kind == _DONE:
            return dict(item)
        case _:
            return None


def _flatten(annotation: dict[str, Any]) -> dict[str, Any]:
    match annotation:
        case {"type": str(kind), **rest} if isinstance(inner := rest.get(kind), dict):
            return {"type": kind, **inner}
        case _:
            return annotation
