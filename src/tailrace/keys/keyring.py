"""Makes, changes and revokes keys in the ledger, for the admin's endpoints and for the command line."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from tailrace.errors import RequestError
from tailrace.keys.bodies import KeyChanges, NewKey
from tailrace.keys.texts import KeyText, hash_secret, make_text, parse_text
from tailrace.ledger import Key, Ledger
from tailrace.settings import Models

_LONGEST_ID: Final = 32


class MadeKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key, and its text for the one time that it is shown."""

    key: Key
    text: KeyText


class Keyring:
    """The keys of a ledger. `models` are those that an allow-list may name."""

    def __init__(self, ledger: Ledger, models: Models) -> None:
        self._ledger = ledger
        self._models = models

    async def create(self, body: NewKey) -> MadeKey:
        """Make a key. Raises RequestError 422 for a model that is not known."""
        text = make_text()
        key = Key(id=text.id, created_at=time.time(), **body.to_fields(self._models))
        await self._ledger.add_key(key, hash_secret(text.secret))
        return MadeKey(key=key, text=text)

    async def update(self, key_id: str, body: KeyChanges) -> Key:
        """Change what the body names. Raises RequestError: 404 no such key, 409 it is revoked, 422 as `create`."""
        key = await self._find(key_id)
        if key.revoked_at is not None:
            raise RequestError(409, "key_revoked", f"the key {key.id} is revoked for good; make a new one")
        return await self._keep(msgspec.structs.replace(key, **body.to_fields(self._models)))

    async def revoke(self, key_id: str) -> Key:
        """End a key for good; the same answer each time. Raises RequestError 404."""
        key = await self._find(key_id)
        if key.revoked_at is not None:
            return key
        return await self._keep(msgspec.structs.replace(key, revoked_at=time.time()))

    async def list(self) -> list[Key]:
        """All keys, oldest first."""
        return await self._ledger.keys()

    async def _find(self, key_id: str) -> Key:
        # A whole key in the place of its id is understood, and so never repeated in an error.
        text = parse_text(key_id)
        found = await self._ledger.find_key(key_id if text is None else text.id)
        if found is None:
            raise RequestError(404, "key_not_found", f"there is no key {_show(key_id)}")
        return found[0]

    async def _keep(self, key: Key) -> Key:
        await self._ledger.change_key(key)
        return key


def _show(key_id: str) -> str:
    """What was given as an id, unless it may be a secret."""
    return "with this id" if len(key_id) > _LONGEST_ID else repr(key_id)
