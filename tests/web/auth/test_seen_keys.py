"""Keys that were seen stay known, and what changes elsewhere is known soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.ledger_fake import FakeLedger
from tests.waiting import until

from tailrace.errors import StoreError
from tailrace.ledger import Key
from tailrace.web.auth.seen_keys import SeenKeys

pytestmark = pytest.mark.usefixtures("no_leaks")

KEY = Key(id="k", name="n", created_at=0.0)
REVOKED = msgspec.structs.replace(KEY, revoked_at=1.0)


@pytest.fixture
async def ledger() -> FakeLedger:
    """A ledger with one key."""
    ledger = FakeLedger()
    await ledger.add_key(KEY, b"hash")
    return ledger


@pytest.fixture
async def seen(ledger: FakeLedger) -> AsyncIterator[SeenKeys]:
    """Seen keys that poll often."""
    seen = SeenKeys(ledger, poll_s=0.01)
    await seen.open()
    yield seen
    await seen.close()


async def test_a_key_is_looked_up_once(ledger: FakeLedger, seen: SeenKeys) -> None:
    """The first time the ledger is asked; from then on it is known here."""
    assert seen.get("k") is None
    assert await seen.find("k") == (KEY, b"hash")
    assert seen.get("k") == (KEY, b"hash")
    assert ledger.lookups == ["k"]


async def test_what_is_not_there_is_not_kept(seen: SeenKeys) -> None:
    """Guesses leave nothing behind."""
    for number in range(100):
        assert await seen.find(f"x{number}") is None
    assert not seen._seen


async def test_a_change_elsewhere_arrives(ledger: FakeLedger, seen: SeenKeys) -> None:
    """Polling brings a new limit, and tells of a revocation once."""
    told: list[str] = []
    seen.on_revoked(told.append)
    await seen.find("k")
    changed = msgspec.structs.replace(KEY, rpm=5)
    await ledger.change_key(changed)
    await until(lambda: seen.get("k") == (changed, b"hash"))
    assert told == []
    await ledger.change_key(REVOKED)
    await until(lambda: told)
    await ledger.change_key(msgspec.structs.replace(REVOKED, name="other"))
    await until(lambda: (found := seen.get("k")) is not None and found[0].name == "other")
    assert told == ["k"]


async def test_a_key_that_was_never_seen_is_nobodys_news(ledger: FakeLedger, seen: SeenKeys) -> None:
    """No stream of it runs here, so its revocation is not told."""
    told: list[str] = []
    seen.on_revoked(told.append)
    await ledger.change_key(REVOKED)
    await seen.refresh()
    assert told == []


async def test_a_look_up_that_was_overtaken_is_done_again(ledger: FakeLedger, seen: SeenKeys) -> None:
    """What was read before a revocation, and arrives after it was heard of, is not believed."""
    ledger.passage.clear()
    finding = asyncio.create_task(seen.find("k"))
    await until(lambda: ledger.lookups)
    await ledger.change_key(REVOKED)
    await seen.refresh()
    ledger.passage.set()
    assert await finding == (REVOKED, b"hash")
    assert ledger.lookups == ["k", "k"]


async def test_seen_keys_outlive_the_database(ledger: FakeLedger, seen: SeenKeys) -> None:
    """While it is down, what was seen is known, what was not is an error, and polling goes on when it is back."""
    await seen.find("k")
    ledger.down = True
    await until(lambda: not seen._heard)
    assert seen.get("k") is not None
    with pytest.raises(StoreError):
        await seen.find("x")
    ledger.down = False
    await ledger.change_key(REVOKED)
    await until(lambda: (found := seen.get("k")) is not None and found[0].revoked_at is not None)
    assert seen._heard


async def test_a_listener_that_fails_stops_nothing(ledger: FakeLedger, seen: SeenKeys) -> None:
    """The others are told all the same, and polling goes on."""
    told: list[str] = []

    def fail(_: str) -> None:
        raise RuntimeError("no")

    seen.on_revoked(fail)
    seen.on_revoked(told.append)
    await seen.find("k")
    await ledger.change_key(REVOKED)
    await until(lambda: told == ["k"])
    await ledger.add_key(Key(id="later", name="n", created_at=0.0), b"")
    await until(lambda: seen._version == 3)


async def test_whether_any_was_made_is_remembered() -> None:
    """False until the first, then true, whatever becomes of it."""
    ledger = FakeLedger()
    seen = SeenKeys(ledger)
    await seen.refresh()
    assert not seen.any_made
    await ledger.add_key(REVOKED, b"hash")
    await seen.refresh()
    assert seen.any_made


async def test_a_database_that_was_set_back_is_believed(ledger: FakeLedger, seen: SeenKeys) -> None:
    """A lower version, as after a restored backup, is another version; a key that is gone is a revoked one."""
    told: list[str] = []
    seen.on_revoked(told.append)
    await seen.find("k")
    ledger._keys.clear()
    ledger._version = 0
    await until(lambda: told == ["k"])
    assert seen.get("k") is None
