"""What every ledger promises of keys."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.ledger.installation import Installation
from tests.ledger.specimens import key

from tailrace.errors import RequestError
from tailrace.ledger import Budget, Key, Ledger

FULL = Key(
    id="full",
    name='naïve "name"; DROP TABLE keys; --',
    created_at=12.25,
    admin=True,
    rpm=1,
    tpm=2,
    max_streams=3,
    budget=Budget(amount=9 * 10**18, period="month"),
    models=("a/b", "c"),
    stripe_customer="cus_1",
    on_disconnect="continue",
    expires_at=99.5,
)


async def test_a_key_comes_back_as_it_went_in(ledger: Ledger) -> None:
    """Every field of a key, and its secret's hash, is found again under its id."""
    plain = key("plain", models=())
    await ledger.add_key(FULL, b"\x00\xff" * 16)
    await ledger.add_key(plain, b"b" * 32)
    assert await ledger.find_key("full") == (FULL, b"\x00\xff" * 16)
    assert await ledger.find_key("plain") == (plain, b"b" * 32)
    assert await ledger.find_key("none") is None
    assert await ledger.keys() == [FULL, plain]


async def test_an_id_is_taken_once(ledger: Ledger) -> None:
    """A second key with the same id is refused, and the first one stays."""
    await ledger.add_key(FULL, b"a")
    with pytest.raises(ValueError, match="full"):
        await ledger.add_key(msgspec.structs.replace(FULL, admin=False), b"b")
    assert await ledger.find_key("full") == (FULL, b"a")


async def test_changing_keeps_the_secret(ledger: Ledger) -> None:
    """All but the secret is replaced; a key that is not there is not made."""
    await ledger.add_key(FULL, b"a")
    changed = Key(id="full", name="n", created_at=1.0)
    assert await ledger.change_key(changed)
    assert await ledger.find_key("full") == (changed, b"a")
    assert not await ledger.change_key(key("none"))


async def test_a_revocation_stays(ledger: Ledger) -> None:
    """A change that was read before a revocation and written after it does not undo it."""
    await ledger.add_key(FULL, b"a")
    assert await ledger.change_key(msgspec.structs.replace(FULL, revoked_at=5.0))
    assert await ledger.change_key(FULL)
    found = await ledger.find_key("full")
    assert found is not None
    assert found[0].revoked_at == 5.0


async def test_the_version_grows_with_each_change(installation: Installation) -> None:
    """Every process sees a larger number after every change of a key, and the same one after none."""
    first, second = await installation.open(), await installation.open()
    versions = [await second.key_version()]
    await first.add_key(FULL, b"a")
    versions.append(await second.key_version())
    await first.change_key(FULL)
    versions.append(await second.key_version())
    await first.change_key(key("none"))
    assert versions == sorted(set(versions))
    assert await second.key_version() == versions[-1]


async def test_the_signing_secret_is_one(installation: Installation) -> None:
    """Processes that ask for the signing secret at the same time get the same 32 bytes, and get them again."""
    ledgers = [await installation.open() for _ in range(3)]
    found = await asyncio.gather(*(ledger.signing_secret() for ledger in ledgers))
    assert len(set(found)) == 1
    assert len(found[0]) == 32
    assert await ledgers[0].signing_secret() == found[0]


async def test_a_name_that_no_database_holds_is_refused(ledger: Ledger) -> None:
    """A NUL in a key's name is named in the error."""
    with pytest.raises(RequestError) as error:
        await ledger.add_key(key(name="a\0b"), b"a")
    assert error.value.field == "name"
