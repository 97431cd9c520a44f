"""Open mode ends with the first key; what it refuses while it lasts is in `test_auth.py`."""

from __future__ import annotations

import msgspec
import pytest
from tests.ledger_fake import FakeLedger
from tests.waiting import until
from tests.web.auth.asking import NOW, Clock, add_key, carrying, refusal, request

from tailrace.settings import Settings
from tailrace.web.auth import KeyGate, OpenGate, UntilKeyedGate

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_open_mode_ends_with_the_first_key(ledger: FakeLedger, clock: Clock) -> None:
    """Made elsewhere, and without a restart; it stays ended when that key is revoked."""
    keyed = KeyGate(ledger, poll_s=0.01, clock=clock)
    await keyed.open()
    gate = UntilKeyedGate(OpenGate(Settings()), keyed)
    local = request({"host": "localhost", "x-api-key": "anything"})
    assert gate.is_open is True
    assert (await gate.admit(local)).name == "local"
    key, text = await add_key(ledger)
    await until(lambda: not gate.is_open)
    assert (await refusal(gate, local)).status == 401
    assert (await gate.admit(carrying(text))).key == key
    await ledger.change_key(msgspec.structs.replace(key, revoked_at=NOW))
    await keyed.refresh()
    assert (await refusal(gate, local)).status == 401
    await keyed.close()


async def test_an_admin_key_is_a_key(gate: KeyGate) -> None:
    """With one in the settings there is no open mode."""
    assert not UntilKeyedGate(OpenGate(Settings()), gate).is_open
