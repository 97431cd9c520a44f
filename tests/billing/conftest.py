"""A Stripe and an installation for every test that bills."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.billing.installation import Clock, Installation
from tests.stripe_server import StripeServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stripe(clock: Clock) -> AsyncIterator[StripeServer]:
    async with StripeServer(clock) as server:
        yield server


@pytest.fixture
def installation(tmp_path: Path, stripe: StripeServer, clock: Clock) -> Installation:
    return Installation(tmp_path, stripe, clock)
