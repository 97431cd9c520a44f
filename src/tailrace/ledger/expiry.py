"""Stored responses are not kept for ever: their conversations are forgotten once nobody has used them for a month."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tailrace.ledger.base import Scope
from tailrace.ledger.database import Database, Query, Rows, Work
from tailrace.ledger.sessions import holder

KEPT_S: Final = 30 * 86_400.0
"""How long one is kept after its last use, at least."""

_RENEWED_S: Final = 86_400.0
"""How old its last use is before another is written down; one is kept for so long besides."""

_PAUSE_S: Final = 3600.0
_AT_ONCE: Final = 200

_RENEW: Final = Query("""-- Say that a conversation is used, unless that was said lately.
    UPDATE sessions SET updated_at = :now
    WHERE key_id = :key_id AND user_name = :user_name AND id = :id AND updated_at < :lately""")

_LOOK: Final = Query("""-- Some conversations in the order in which they were made, and whether each has expired.
    SELECT number, created_at, substr(id, 1, 5) = 'resp_' AND updated_at < :before FROM sessions
    WHERE number > :place ORDER BY number LIMIT :most""")

_FORGET: Final = Query("""-- Forget those among some conversations that have expired; their turns go with them.
    DELETE FROM sessions
    WHERE number > :place AND number <= :last AND substr(id, 1, 5) = 'resp_' AND updated_at < :before""")


def renew(scope: Scope, session_ids: Sequence[str], now: float) -> Work[None]:
    """Say that these conversations are used. Name the oldest first: so are they locked when they are forgotten."""
    for session_id in session_ids:
        yield _RENEW, {**holder(scope), "id": session_id, "now": now, "lately": now - _RENEWED_S}


class Expiry:
    """Passes over all conversations once an hour, a few at each step. Any number of processes may do so at once."""

    def __init__(self, database: Database, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._place = 0
        self._passed: float | None = None

    async def step(self) -> None:
        """Look at the next few, and forget what has expired; nothing while there is a pause. Raises StoreError."""
        now = self._clock()
        if self._passed is not None and 0 <= now - self._passed < _PAUSE_S:
            return
        before = now - KEPT_S - _RENEWED_S
        found = await self._database.report(_look, self._place, before)
        if any(expired for _, _, expired in found):
            await self._database.write(_forget, self._place, found[-1][0], before)
        # Whatever follows one that is young is younger
        over = len(found) < _AT_ONCE or found[-1][1] >= before
        self._passed = now if over else None
        self._place = 0 if over else found[-1][0]


def _look(place: int, before: float) -> Work[Rows]:
    found = yield _LOOK, {"place": place, "before": before, "most": _AT_ONCE}
    return found


def _forget(place: int, last: int, before: float) -> Work[None]:
    yield _FORGET, {"place": place, "last": last, "before": before}
