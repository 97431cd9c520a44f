"""A ledger in memory and a gate on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.ledger_fake import FakeLedger
from tests.web.auth.asking import Clock, make_gate

from tailrace.web.auth import KeyGate


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def ledger() -> FakeLedger:
    """A ledger without keys."""
    return FakeLedger()


@pytest.fixture
async def gate(ledger: FakeLedger, clock: Clock) -> AsyncIterator[KeyGate]:
    """A gate with an admin key and room for many guesses."""
    gate = make_gate(ledger, clock)
    await gate.open()
    yield gate
    await gate.close()
