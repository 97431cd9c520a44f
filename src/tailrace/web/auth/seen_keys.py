"""The keys that this process has seen, kept up with the ledger: a change made elsewhere is known within a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import structlog

from tailrace.errors import StoreError
from tailrace.ledger import Key, Ledger

Found: TypeAlias = tuple[Key, bytes]
"""A key and its secret's hash."""

POLL_S: Final = 0.5

_log = structlog.get_logger(__name__)


class SeenKeys:
    """Keys by id, read once from the ledger and again when its key version has changed.

    They stay known while the database is down. A key is kept here only once it was asked for, so that nobody fills
    this by guessing.
    """

    def __init__(self, ledger: Ledger, *, poll_s: float = POLL_S) -> None:
        self._ledger = ledger
        self._poll_s = poll_s
        self._seen: dict[str, Found] = {}
        self._version: int | None = None
        self._refreshing = asyncio.Lock()
        self._polling: asyncio.Task[None] | None = None
        self._heard = True
        self._listeners: list[Callable[[str], object]] = []
        self.any_made = False
        """Whether any key was ever made, revoked ones too."""

    async def open(self) -> None:
        """Read the ledger once and go on polling it. Raises StoreError."""
        await self.refresh()
        self._polling = asyncio.create_task(self._poll())

    async def close(self) -> None:
        """Stop polling."""
        if self._polling is not None:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling

    def on_revoked(self, listener: Callable[[str], object]) -> None:
        """Call `listener` with the id of each key that was seen here and is revoked from then on."""
        self._listeners.append(listener)

    def get(self, key_id: str) -> Found | None:
        """The key, if it was seen."""
        return self._seen.get(key_id)

    async def find(self, key_id: str) -> Found | None:
        """The key as the ledger has it now. Raises StoreError."""
        while True:
            version = self._version
            found = await self._ledger.find_key(key_id)
            # Where keys were read again meanwhile, this one may be older than what they said of it.
            if version == self._version:
                break
        if found is not None:
            self._seen[key_id] = found
        return found

    async def refresh(self) -> None:
        """Read the keys again if any has changed. Raises StoreError."""
        async with self._refreshing:
            version = await self._ledger.key_version()
            if version == self._version:
                return
            keys = {key.id: key for key in await self._ledger.keys()}
            self._version = version
            self.any_made = self.any_made or bool(keys)
            self._replace(keys)

    def _replace(self, keys: Mapping[str, Key]) -> None:
        for key_id, (before, secret_hash) in list(self._seen.items()):
            key = keys.get(key_id)
            if key is None:
                del self._seen[key_id]
            else:
                self._seen[key_id] = (key, secret_hash)
            if before.revoked_at is None and (key is None or key.revoked_at is not None):
                self._tell(key_id)

    def _tell(self, key_id: str) -> None:
        for listener in self._listeners:
            try:
                listener(key_id)
            except Exception:
                _log.exception("a revoked key's streams could not be ended", key_id=key_id)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
            except StoreError as error:
                self._note(str(error))
            except Exception:
                _log.exception("keys could not be read again")
            else:
                self._note(None)

    def _note(self, trouble: str | None) -> None:
        """Say once that the database does not answer, and once that it does again."""
        if trouble is not None and self._heard:
            _log.warning("the database does not answer: keys already seen are honoured, others are not", error=trouble)
        elif trouble is None and not self._heard:
            _log.warning("the database answers again: keys are up to date")
        self._heard = trouble is None
