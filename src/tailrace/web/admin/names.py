"""The names that an admin reads in the place of keys' ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace.errors import StoreError
from tailrace.ledger import Ledger
from tailrace.web.auth import ADMIN, APPLICATION, LOCAL

_BUILT_IN: Final = {key.id: key.name for key in (LOCAL, ADMIN, APPLICATION)}


class KeyNames:
    """Keys' names by id, read again only when some key has changed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._version: int | None = None
        self._names: Mapping[str, str] = _BUILT_IN

    async def read(self) -> Mapping[str, str]:
        """The names as they are now; while the database is down as they were."""
        try:
            version = await self._ledger.key_version()
            if version != self._version:
                self._names = _BUILT_IN | {key.id: key.name for key in await self._ledger.keys()}
                self._version = version
        except StoreError:
            return self._names
        return self._names
