"""Requests as a gate sees them, without a server around them, and keys that they may carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import pytest
from starlette.requests import Request
from tests.ledger_fake import FakeLedger

from tailrace.errors import RequestError
from tailrace.keys import hash_secret, make_text
from tailrace.ledger import Key
from tailrace.settings import Secret
from tailrace.web.auth import Gate, Guesses, KeyGate

ADMIN_KEY: Final = "tr_admin_" + "k" * 43
NOW: Final = 1_800_000_000.0
NONE: Mapping[str, str] = MappingProxyType({})


def request(
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = NONE,
    *,
    query: str = "",
    client: str | None = "192.0.2.1",
    method: str = "GET",
) -> Request:
    """A request with these headers and this query, from this address."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return Request(
        {
            "type": "http",
            "method": method,
            "path": "/",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in pairs],
            "client": None if client is None else (client, 1234),
        }
    )


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def make_gate(ledger: FakeLedger, clock: Clock, *, at_once: int = 1000) -> KeyGate:
    """A gate that polls often."""
    guesses = Guesses(at_once=at_once)
    return KeyGate(ledger, Secret(ADMIN_KEY), guesses=guesses, poll_s=0.01, clock=clock)


async def add_key(ledger: FakeLedger, **fields: Any) -> tuple[Key, str]:
    """A key in the ledger, and its text."""
    text = make_text()
    key = Key(**{"id": text.id, "name": "n", "created_at": NOW, **fields})
    await ledger.add_key(key, hash_secret(text.secret))
    return key, text.reveal()


def carrying(credential: str, **headers: str) -> Request:
    """A request with this key or token."""
    return request({"x-api-key": credential, **{name.replace("_", "-"): value for name, value in headers.items()}})


async def refusal(gate: Gate, asked: Request) -> RequestError:
    """How the gate refuses a request."""
    with pytest.raises(RequestError) as caught:
        await gate.admit(asked)
    return caught.value


def told(error: RequestError) -> tuple[Any, ...]:
    """All that a client sees of a refusal."""
    return (error.status, error.code, error.message, error.field, error.headers)
