"""Keys made, changed and revoked in a ledger."""

from __future__ import annotations

import time

import pytest
from tests.ledger_fake import FakeLedger

from tailrace.errors import RequestError
from tailrace.keys import KeyChanges, Keyring, MadeKey, NewKey, describe, hash_secret, make_text
from tailrace.settings import Models, Settings


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def keyring(ledger: FakeLedger) -> Keyring:
    return Keyring(ledger, Models(Settings()))


async def make(keyring: Keyring) -> MadeKey:
    """A key with a limit."""
    return await keyring.create(NewKey(name="n", rpm=5))


async def test_a_made_key_is_kept_by_its_hash(ledger: FakeLedger, keyring: Keyring) -> None:
    """The ledger holds the key and the hash of its secret; the text is nowhere in what it was given."""
    made = await make(keyring)
    assert await ledger.find_key(made.key.id) == (made.key, hash_secret(made.text.secret))
    assert made.text.secret.reveal() not in repr((made, await ledger.keys()))
    assert abs(made.key.created_at - time.time()) < 60


async def test_a_change_leaves_the_rest(ledger: FakeLedger, keyring: Keyring) -> None:
    """Only what is named changes."""
    made = await make(keyring)
    changed = await keyring.update(made.key.id, KeyChanges(tpm=7))
    assert (changed.name, changed.rpm, changed.tpm) == ("n", 5, 7)
    assert await keyring.list() == [changed]


async def test_revoking_twice_is_revoking_once(ledger: FakeLedger, keyring: Keyring) -> None:
    """The second time gives the same answer, and the key can't be changed any more."""
    made = await make(keyring)
    first = await keyring.revoke(made.key.id)
    assert first.revoked_at is not None
    assert await keyring.revoke(made.key.id) == first
    with pytest.raises(RequestError) as caught:
        await keyring.update(made.key.id, KeyChanges(rpm=1))
    assert (caught.value.status, caught.value.code) == (409, "key_revoked")


async def test_a_whole_key_stands_for_its_id_and_is_not_repeated(keyring: Keyring) -> None:
    """Who gives the key itself instead of its id is understood; no error says the secret again."""
    made = await make(keyring)
    assert (await keyring.revoke(made.text.reveal())).id == made.key.id
    stranger = make_text()
    for given in (stranger.reveal(), stranger.secret.reveal(), f"{stranger.reveal()} "):
        with pytest.raises(RequestError, match="there is no key") as caught:
            await keyring.revoke(given)
        assert stranger.secret.reveal() not in str(caught.value)


async def test_a_face_shows_all_but_the_secret(keyring: Keyring) -> None:
    """What an admin sees are the words of the bodies."""
    made = await keyring.create(NewKey(name="n", budget_usd="5/day", models=["simulated"], on_disconnect="continue"))  # type: ignore[arg-type]
    face = describe(made.key)
    assert (face["budget_usd"], face["models"], face["on_disconnect"]) == ("5/day", ["simulated"], "continue")
    assert "secret" not in str(face)
    assert describe(await keyring.update(made.key.id, KeyChanges(on_disconnect=10.0)))["on_disconnect"] == 10.0
