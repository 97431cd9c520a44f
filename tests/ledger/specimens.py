"""What the ledger's tests put in: openings, settlements and turns, with only what matters said."""

from __future__ import annotations

import itertools
import time
from typing import Any

import msgspec

from tailrace.ledger import Key, Ledger, Opened, Opening, Row, Scope, Settlement, Turn
from tailrace.requests import Text

SCOPE = Scope(key_id="k1")

_numbers = itertools.count(1)


def opening(**given: Any) -> Opening:
    """A generation to be opened, with an id of its own."""
    values: dict[str, Any] = {
        "id": f"gen_{next(_numbers)}",
        "created_at": time.time(),
        "scope": SCOPE,
        "provider": "simulated",
        "model": "simulated",
        "input_tokens": 11,
    }
    return Opening(**(values | given))


def settlement(generation_id: str, **given: Any) -> Settlement:
    """The end of a generation that finished."""
    values: dict[str, Any] = {
        "id": generation_id,
        "status": "finished",
        "reason": "stop",
        "input_tokens": 10,
        "output_tokens": 20,
        "source": "reported",
        "delivered_tokens": 20,
        "duration_ms": 12.5,
        "settled_at": time.time(),
    }
    return Settlement(**(values | given))


def turn(text: str, **given: Any) -> Turn:
    """A message of plain text."""
    values: dict[str, Any] = {
        "id": f"msg_{next(_numbers)}",
        "role": "user",
        "content": msgspec.json.encode([Text(text=text)]),
        "created_at": time.time(),
    }
    return Turn(**(values | given))


def key(key_id: str = "k1", **given: Any) -> Key:
    """An API key."""
    values: dict[str, Any] = {"id": key_id, "name": "a name", "created_at": time.time()}
    return Key(**(values | given))


async def begun(ledger: Ledger, **given: Any) -> str:
    """Open a generation and return its id."""
    asked = opening(**given)
    assert await ledger.begin(asked) == Opened()
    return asked.id


async def row(ledger: Ledger, generation_id: str) -> Row:
    """A generation's row as it is read back."""
    page = await ledger.rows(Scope(), limit=1000)
    found = [row for row in page.items if row.id == generation_id]
    assert len(found) == 1
    only: Row = found[0]
    return only
