"""A generation's opening: its election, its refusals, its reservation, and its session's new turns.

Every work takes its locks in the same order (generation, session, spend), so that no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from tailrace.errors import RequestError, StoreError
from tailrace.ledger import sessions, spend
from tailrace.ledger.base import Joined, Opened, Opening, Scope
from tailrace.ledger.database import Batch, BatchWork, Many, Query, Work, read_names
from tailrace.ledger.prices import price_columns
from tailrace.ledger.sessions import holder

ELECTION_S: Final = 24 * 3600.0
"""How long an idempotency key is kept."""


_TRIALS: Final = 5

_ELECTED: Final = Query("""-- The generation that an idempotency key elected.
    SELECT id, body_hash, created_at FROM generations
    WHERE key_id = :key_id AND user_name = :user_name AND idempotency_key = :idempotency_key""")

_FREE: Final = Query("""-- Forget an election that is too old.
    UPDATE generations SET idempotency_key = NULL WHERE id = :id""")

_RUNNING_IN: Final = Query("""-- The generation that runs in a session.
    SELECT id FROM generations
    WHERE key_id = :key_id AND user_name = :user_name AND session_id = :session_id AND status = 'running'""")

_COLUMNS: Final = """id, created_at, day, key_id, user_name, provider, model, session_id, idempotency_key, body_hash,
    owner, status, input_tokens, reserved, price_input, price_cached_input, price_output, customer, meter"""
_NAMES: Final = read_names(_COLUMNS)

_OPEN: Final = Query(f"""-- Open a generation, unless one with its idempotency key or in its session was first.
    INSERT INTO generations ({_COLUMNS})
    VALUES ({", ".join(f":{name}" for name in _NAMES)})
    ON CONFLICT DO NOTHING RETURNING id""")  # noqa: S608 - of our own words only

_OPEN_ALL: Final = Many(f"""-- Open generations that nothing stands in the way of; if any fails, all is undone.
    INSERT OR FAIL INTO generations ({_COLUMNS}) SELECT * FROM (VALUES {{rows}}) WHERE column1 <> 0""")  # noqa: S608

_OPENED: Final = Opened()

Begin: TypeAlias = tuple[Opening, str, float]
"""An opening, its owner, and the time."""


def begin(opening: Opening, owner: str, now: float) -> Work[Opened | Joined]:
    """Open the row, with its session's new turns and its reservation, or join the one that was first."""
    for _ in range(_TRIALS):
        elected = yield from find_elected(opening.scope, opening.idempotency_key, opening.body_hash, now)
        if elected is not None:
            return elected
        refusal = yield from _find_refusal(opening)
        if refusal is not None:
            # The one that was first, and because of which this one is refused, may be its own twin.
            elected = yield from find_elected(opening.scope, opening.idempotency_key, opening.body_hash, now)
            if elected is None:
                raise refusal
            return elected
        opened = yield from _open(opening, owner, now)
        if opened:
            return _OPENED
    raise StoreError(f"the generation {opening.id} could not be opened: its id is taken")


def is_plain(opening: Opening) -> bool:
    """Whether there is nothing to it but its row: no election, no session, no reservation."""
    return (
        opening.idempotency_key is None
        and opening.session_id is None
        and opening.budget is None
        and not opening.reserved
    )


def _begin(asked: Begin) -> Work[Opened | Joined]:
    return begin(*asked)


def _begin_all(begins: Sequence[Begin]) -> BatchWork[Opened]:
    yield _OPEN_ALL, [_row(opening, owner) for opening, owner, _ in begins]
    return _OPENED


PLAIN: Final = Batch[Begin, "Opened | Joined"](_begin, _begin_all)
"""The openings that are plain."""


def find_elected(scope: Scope, idempotency_key: str | None, body_hash: str | None, now: float) -> Work[Joined | None]:
    """The generation that this key elected less than a day ago. Raises RequestError 422 for another body."""
    if idempotency_key is None:
        return None
    found = yield _ELECTED, {**holder(scope), "idempotency_key": idempotency_key}
    if not found or _is_over(found[0][2], now):
        return None
    if found[0][1] != body_hash:
        raise RequestError(
            422,
            "idempotency_mismatch",
            "this idempotency key was used with another body within the last 24 hours",
            field="Idempotency-Key",
        )
    return Joined(generation_id=found[0][0])


def _is_over(created_at: float, now: float) -> bool:
    return now - created_at >= ELECTION_S


def _find_refusal(opening: Opening) -> Work[RequestError | None]:
    """Why this generation can't begin, as far as it can be known before anything is written."""
    if opening.session_id is not None:
        found = yield _RUNNING_IN, {**holder(opening.scope), "session_id": opening.session_id}
        if found:
            return _session_busy(opening.session_id, found[0][0])
        if opening.after is not None:
            known = yield from sessions.has_turn(opening.scope, opening.session_id, opening.after)
            if not known:
                return sessions.no_such_turn(opening.after)
    if opening.budget is not None:
        key_id = opening.scope.key_id or ""
        spent = yield from spend.spent(key_id, opening.budget.period, opening.created_at)
        return spend.find_excess(opening.budget, spent + opening.reserved)
    return None


def _open(opening: Opening, owner: str, now: float) -> Work[bool]:
    if opening.idempotency_key is not None:
        yield from _free_old_election(opening, now)
    opened = yield _OPEN, dict(zip(_NAMES, _row(opening, owner), strict=True))
    if not opened:
        return False
    if opening.session_id is not None:
        yield from sessions.continue_session(
            opening.scope, opening.session_id, opening.turns, after=opening.after, now=opening.created_at
        )
    if opening.reserved:
        yield from _reserve(opening)
    return True


def _free_old_election(opening: Opening, now: float) -> Work[None]:
    found = yield _ELECTED, {**holder(opening.scope), "idempotency_key": opening.idempotency_key}
    if found and _is_over(found[0][2], now):
        yield _FREE, {"id": found[0][0]}


def _reserve(opening: Opening) -> Work[None]:
    """Reserve, and look again: since the first look another process may have reserved what was left."""
    sums = yield from spend.add_spend(opening.scope.key_id or "", opening.created_at, reserved=opening.reserved)
    if opening.budget is not None:
        excess = spend.find_excess(opening.budget, sums[opening.budget.period])
        if excess is not None:
            raise excess


def _session_busy(session_id: str, running: str) -> RequestError:
    return RequestError(
        409,
        "session_busy",
        f"the session {session_id[:100]!r} has a running generation: {running}",
        field="session_id",
        headers={"x-tailrace-stream": running},
    )


def _row(opening: Opening, owner: str) -> tuple[Any, ...]:
    """The values of its columns, in their order."""
    scope = opening.scope
    return (
        opening.id,
        opening.created_at,
        int(opening.created_at // spend.DAY_S),
        scope.key_id or "",
        scope.user or "",
        opening.provider,
        opening.model,
        opening.session_id,
        opening.idempotency_key,
        opening.body_hash,
        owner,
        "running",
        opening.input_tokens,
        opening.reserved,
        *price_columns(opening.price),
        opening.customer,
        opening.meter,
    )
