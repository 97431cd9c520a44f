"""Ollama's chat, handed on from an upstream that speaks it too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from tailrace.dialects.base import in_one_line, json_bytes
from tailrace.dialects.ollama.encoder import OllamaEncoder
from tailrace.events import Event


class OllamaRelay(OllamaEncoder):
    """An upstream's lines as they came, but each in one line to every reader; our own where it sent none."""

    relays = True

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if event.frame:
            return in_one_line(event.frame) + b"\n"
        own = super().encode(seq, event, count)
        return own if event.frame is None else b""


def merge_lines(events: Sequence[Event]) -> bytes | None:
    """The whole answer from the lines that an upstream streamed, with all that they hold; None where it sent none."""
    lines = [_parse(event.frame) for event in events if event.frame]
    if not lines:
        return None
    answer: dict[str, Any] = {}
    message: dict[str, Any] = {}
    for line in lines:
        _extend(message, line.get("message") or {})
        logprobs = [*answer.get("logprobs", ()), *(line.get("logprobs") or ())]
        answer |= {**line, "message": message, **({"logprobs": logprobs} if logprobs else {})}
    return json_bytes(answer)


def _extend(message: dict[str, Any], piece: dict[str, Any]) -> None:
    """Texts are pieces, lists go on, and of all else the last word holds."""
    for name, value in piece.items():
        earlier = message.get(name)
        joins = type(value) is type(earlier) and isinstance(value, (str, list)) and name != "role"
        message[name] = earlier + value if joins else value


def _parse(line: bytes) -> dict[str, Any]:
    try:
        parsed = msgspec.json.decode(line)
    except msgspec.DecodeError:
        parsed = json.loads(line)
    return parsed if isinstance(parsed, dict) else {}
