"""What a process's running generations have come to: one record for each process, written once a second."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog

from tailrace.ledger.base import Count
from tailrace.ledger.database import Database, Query, Work

_WRITE: Final = Query("""-- Replace an owner's record.
    INSERT INTO checkpoints (owner, written_at, counts) VALUES (:owner, :written_at, :counts)
    ON CONFLICT (owner) DO UPDATE SET written_at = excluded.written_at, counts = excluded.counts""")

_READ: Final = Query("""-- An owner's record.
    SELECT written_at, counts FROM checkpoints WHERE owner = :owner""")

_READ_ALL: Final = Query("""-- All records: one for each process.
    SELECT written_at, counts FROM checkpoints""")

_DROP: Final = Query("""-- Forget an owner's record.
    DELETE FROM checkpoints WHERE owner = :owner""")

_OWNERS: Final = Query("""-- Who has running rows, or has left a record.
    SELECT owner FROM generations WHERE status = 'running' UNION SELECT owner FROM checkpoints""")

_COUNTS: Final = msgspec.msgpack.Decoder(dict[str, Count])

_log = structlog.get_logger(__name__)


class Checkpoints:
    """Writes what this process's generations have come to: the last word only, and one write at a time."""

    def __init__(
        self, database: Database, *, find_owner: Callable[[str], str | None], clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._find_owner = find_owner
        self._clock = clock
        self._noted: Mapping[str, Count] | None = None
        self._writing: Future[None] | None = None

    def note(self, counts: Mapping[str, Count]) -> None:
        """Have these counts written, in the place of those that still wait. Never blocks."""
        self._noted = counts
        if self._writing is None:
            self._write(counts)

    def _write(self, counts: Mapping[str, Count]) -> None:
        """Each count goes under the name of its row's owner: after a broken connection a process has two."""
        self._noted = None
        records: dict[str, dict[str, Count]] = {}
        for id_, count in counts.items():
            if (owner := self._find_owner(id_)) is not None:
                records.setdefault(owner, {})[id_] = count
        if records:
            self._writing = self._database.write(write_checkpoints, self._clock(), records)
            self._writing.add_done_callback(self._written)

    def _written(self, writing: Future[None]) -> None:
        self._writing = None
        if (error := writing.exception()) is not None:
            _log.warning("checkpoint_not_written", error=str(error))
        if self._noted is not None:
            self._write(self._noted)


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """An owner's last record."""

    written_at: float = 0.0
    counts: dict[str, Count] = {}


def write_checkpoints(written_at: float, records: Mapping[str, Mapping[str, Count]]) -> Work[None]:
    """Replace the record of each of these owners."""
    for owner, counts in records.items():
        yield _WRITE, {"owner": owner, "written_at": written_at, "counts": msgspec.msgpack.encode(counts)}


def read_checkpoint(owner: str) -> Work[Noted]:
    """The owner's last record; an empty one where it wrote none."""
    found = yield _READ, {"owner": owner}
    return Noted(written_at=found[0][0], counts=_COUNTS.decode(found[0][1])) if found else Noted()


def read_counts() -> Work[dict[str, Count]]:
    """The last counts of every running generation, whoever owns it."""
    found = yield _READ_ALL, {}
    return {id_: count for row in found for id_, count in _COUNTS.decode(row[1]).items()}


def drop_checkpoint(owner: str) -> Work[None]:
    """Forget the owner's record."""
    yield _DROP, {"owner": owner}


def list_owners() -> Work[list[str]]:
    """All owners that have running rows or have left a record."""
    found = yield _OWNERS, {}
    return [row[0] for row in found]
