"""Who lives: each process holds a lock that the system frees at its death, under the name that its rows bear.

On SQLite the locks are files beside the database; see `advisory.py` for PostgreSQL's.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from tailrace.errors import SettingsError, StoreError

_PREFIX: Final = "own_"


def new_owner() -> str:
    """A name that no process ever had."""
    return f"{_PREFIX}{secrets.token_hex(8)}"


class Owners(ABC):
    """The names under which this process owns rows, each with its lock."""

    @abstractmethod
    async def take(self) -> None:
        """Take a name and its lock. Raises StoreError."""

    @abstractmethod
    async def current(self) -> str:
        """The name for new rows, whose lock is held. Raises StoreError while it is not."""

    @property
    @abstractmethod
    def names(self) -> frozenset[str]:
        """All names of this process: those of its older rows too."""

    @abstractmethod
    async def renew(self, in_use: Collection[str]) -> None:
        """See that the locks are still held, and forget the older names without a row. Call it before each sweep."""

    @abstractmethod
    def claim(self, owner: str) -> AbstractAsyncContextManager[bool]:
        """Whether another's lock is free; if so its process can't take it back in the meantime."""

    @abstractmethod
    async def release(self) -> None:
        """Give the locks back."""


class LockFile:
    """A file that at most one process holds (or several, where all of them share), until it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self, *, create: bool = True, shared: bool = False) -> bool:
        """Hold it, unless another does. Raises OSError."""
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        descriptor = os.open(self.path, flags, 0o600)
        if not _lock(descriptor, shared=shared):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    @property
    def held(self) -> bool:
        """Whether we hold it."""
        return self._descriptor is not None

    def read(self) -> bytes:
        """All that is in the file that we hold. Raises OSError."""
        descriptor = self._number()
        os.lseek(descriptor, 0, os.SEEK_SET)
        return b"".join(iter(lambda: os.read(descriptor, 1 << 20), b""))

    def append(self, content: bytes) -> None:
        """Write to the end of the file that we hold, and to the disk. Raises OSError."""
        descriptor = self._number()
        os.lseek(descriptor, 0, os.SEEK_END)
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)

    def _number(self) -> int:
        if self._descriptor is None:
            raise OSError("the file is not held")
        return self._descriptor

    def release(self, *, remove: bool = False) -> None:
        """Hold it no longer."""
        if self._descriptor is None:
            return
        if remove:
            with contextlib.suppress(OSError):  # Windows removes no open file; the next sweep sees that it is free.
                self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = None


class FileOwners(Owners):
    """Locks as files beside a SQLite database.

    One more file holds the whole folder, so that only one process serves from it, unless they share their streams.
    """

    def __init__(self, database: Path, *, shared: bool) -> None:
        self._shared = shared
        self._folder = database.with_name(f"{database.name}.owners")
        self._guard = LockFile(database.with_name(f"{database.name}.lock"))
        self._name = new_owner()
        self._file = LockFile(self._folder / self._name)

    async def take(self) -> None:
        """Raises SettingsError where another process serves from this folder."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not self._guard.take(shared=self._shared):
                raise SettingsError(
                    f"another tailrace already serves from {self._guard.path.parent}: stop it, give this one a folder "
                    "of its own, or set TAILRACE_REDIS_URL for both",
                    where="TAILRACE_DATA_DIR",
                )
            self._file.take()
        except OSError as error:
            raise StoreError(f"the lock file can't be made: {error}") from error

    async def current(self) -> str:
        return self._name

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self._name,))

    async def renew(self, in_use: Collection[str]) -> None:
        """A file's lock can't be lost while its process lives."""

    @contextlib.asynccontextmanager
    async def claim(self, owner: str) -> AsyncGenerator[bool, None]:
        file = LockFile(self._folder / owner)
        try:
            free = file.take(create=False)
        except FileNotFoundError:
            free = True
        except OSError as error:
            raise StoreError(f"the lock file of {owner} can't be read: {error}") from error
        try:
            yield free
        finally:
            file.release(remove=free)

    async def release(self) -> None:
        self._file.release(remove=True)
        self._guard.release()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, shared: bool) -> bool:
        # Windows has no shared lock here: who shares goes without, and is stopped only by one who does not.
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            if shared:
                os.lseek(descriptor, 0, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
