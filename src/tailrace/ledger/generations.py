"""From a generation's opening to its one settlement: election, refusals, reservation, and what follows a crash.

Every work takes its locks in the same order (generation, session, spend), so that no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.errors import RequestError, StoreError
from tailrace.ledger import checkpoints, outbox, sessions, spend
from tailrace.ledger.base import Bill, Joined, Opened, Opening, Pico, Price, Scope, Settlement
from tailrace.ledger.database import Query, Work
from tailrace.ledger.sessions import holder
from tailrace.ledger.texts import make_storable

ELECTION_S: Final = 24 * 3600.0
"""How long an idempotency key is kept."""

_DAY_S: Final = 86400
_TRIALS: Final = 5

_ELECTED: Final = Query("""-- The generation that an idempotency key elected.
    SELECT id, body_hash, created_at FROM generations
    WHERE key_id = :key_id AND user_name = :user_name AND idempotency_key = :idempotency_key""")

_FREE: Final = Query("""-- Forget an election that is too old.
    UPDATE generations SET idempotency_key = NULL WHERE id = :id""")

_RUNNING_IN: Final = Query("""-- The generation that runs in a session.
    SELECT id FROM generations
    WHERE key_id = :key_id AND user_name = :user_name AND session_id = :session_id AND status = 'running'""")

_OPEN: Final = Query("""-- Open a generation, unless one with its idempotency key or in its session was first.
    INSERT INTO generations (id, created_at, day, key_id, user_name, provider, model, session_id, idempotency_key,
        body_hash, owner, status, input_tokens, reserved, price_input, price_cached_input, price_output, customer,
        meter)
    VALUES (:id, :created_at, :day, :key_id, :user_name, :provider, :model, :session_id, :idempotency_key,
        :body_hash, :owner, 'running', :input_tokens, :reserved, :price_input, :price_cached_input, :price_output,
        :customer, :meter)
    ON CONFLICT DO NOTHING RETURNING id""")

_SETTLE: Final = Query("""-- Write the final figures, if the row still runs and is still ours.
    UPDATE generations SET status = :status, reason = :reason, provider = coalesce(:provider, provider),
        model = coalesce(:model, model), input_tokens = :input_tokens, output_tokens = :output_tokens,
        reasoning_tokens = :reasoning_tokens, cached_input_tokens = :cached_input_tokens, source = :source,
        delivered_tokens = :delivered_tokens, cost = :cost, price_input = :price_input,
        price_cached_input = :price_cached_input, price_output = :price_output, ttft_ms = :ttft_ms,
        duration_ms = :duration_ms, settled_at = :settled_at,
        idempotency_key = CASE WHEN :frees_key THEN NULL ELSE idempotency_key END
    WHERE id = :id AND status = 'running' AND owner = :owner
    RETURNING key_id, user_name, session_id, created_at, reserved""")

_TAKE_OVER: Final = Query("""-- Take the running rows of a process that died.
    UPDATE generations SET owner = :owner, output_tokens = coalesce(output_tokens, 0),
        delivered_tokens = coalesce(delivered_tokens, 0), duration_ms = coalesce(duration_ms, 0)
    WHERE owner = :dead AND status = 'running' RETURNING id, created_at""")

_NOTE: Final = Query("""-- Put into a row that was taken over what its last checkpoint says.
    UPDATE generations SET input_tokens = coalesce(:input_tokens, input_tokens), output_tokens = :output_tokens,
        delivered_tokens = :delivered_tokens, duration_ms = :duration_ms
    WHERE id = :id""")

_ORPHANS: Final = Query("""-- The running rows of an owner.
    SELECT id FROM generations WHERE owner = :owner AND status = 'running'""")

_LAST_KNOWN: Final = Query("""-- What is known of a row that nobody will settle.
    SELECT input_tokens, output_tokens, delivered_tokens, duration_ms, price_input, price_cached_input, price_output,
        customer, meter
    FROM generations WHERE id = :id AND owner = :owner AND status = 'running'""")


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
            return Opened()
    raise StoreError(f"the generation {opening.id} could not be opened: its id is taken")


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


def settle(settlement: Settlement, owner: str) -> Work[bool]:
    """Write the final figures; False where the row runs no longer, or belongs to another."""
    found = yield _SETTLE, _settled_values(settlement, owner)
    if not found:
        return False
    key_id, user_name, session_id, created_at, reserved = found[0]
    if session_id is not None and settlement.answer is not None:
        scope = Scope(key_id=key_id, user=user_name)
        yield from sessions.append_answer(scope, session_id, settlement.answer, settlement.settled_at)
    if reserved or settlement.cost:
        yield from spend.add_spend(key_id, created_at, settled=settlement.cost or 0, reserved=-reserved)
    if settlement.bill is not None:
        yield from outbox.add_parcel(settlement.id, settlement.bill, settlement.settled_at)
    return True


def take_over(dead: str, owner: str) -> Work[None]:
    """Make the running rows of a process that died our own, with what it noted last."""
    taken = yield _TAKE_OVER, {"dead": dead, "owner": owner}
    noted = yield from checkpoints.read_checkpoint(dead)
    for id_, created_at in taken:
        if (count := noted.counts.get(id_)) is not None:
            duration = max(0.0, noted.written_at - created_at) * 1000
            yield _NOTE, {"id": id_, "duration_ms": duration, **msgspec.structs.asdict(count)}
    yield from checkpoints.drop_checkpoint(dead)


def find_running(owner: str) -> Work[list[str]]:
    """The ids of an owner's running rows."""
    found = yield _ORPHANS, {"owner": owner}
    return [row[0] for row in found]


def interrupt(generation_id: str, owner: str, now: float) -> Work[bool]:
    """Settle a row of ours that nobody works on, with what is known of it."""
    found = yield _LAST_KNOWN, {"id": generation_id, "owner": owner}
    if not found:
        return False
    settled = yield from settle(_interrupted(generation_id, found[0], now), owner)
    return settled


def cost_of(price: Price, input_tokens: int, cached_input_tokens: int, output_tokens: int) -> Pico:
    """What these tokens cost; the cached ones are part of the input."""
    # An upstream's count of cached tokens may stand beside our own of the input, and be greater.
    cached = min(cached_input_tokens, input_tokens)
    return (input_tokens - cached) * price.input + cached * price.cached_input + output_tokens * price.output


def read_price(row: Sequence[Any]) -> Price | None:
    """A price from its three columns."""
    return None if row[0] is None else Price(input=row[0], cached_input=row[1], output=row[2])


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
    opened = yield _OPEN, _opening_values(opening, owner)
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


def _opening_values(opening: Opening, owner: str) -> dict[str, Any]:
    return {
        "id": opening.id,
        "created_at": opening.created_at,
        "day": int(opening.created_at // _DAY_S),
        **holder(opening.scope),
        "provider": opening.provider,
        "model": opening.model,
        "session_id": opening.session_id,
        "idempotency_key": opening.idempotency_key,
        "body_hash": opening.body_hash,
        "owner": owner,
        "input_tokens": opening.input_tokens,
        "reserved": opening.reserved,
        **_price_values(opening.price),
        "customer": opening.customer,
        "meter": opening.meter,
    }


def _settled_values(settlement: Settlement, owner: str) -> dict[str, Any]:
    return {
        "id": settlement.id,
        "owner": owner,
        "status": settlement.status,
        "reason": make_storable(settlement.reason),
        "provider": settlement.provider,
        "model": settlement.model,
        "input_tokens": settlement.input_tokens,
        "output_tokens": settlement.output_tokens,
        "reasoning_tokens": settlement.reasoning_tokens,
        "cached_input_tokens": settlement.cached_input_tokens,
        "source": settlement.source,
        "delivered_tokens": settlement.delivered_tokens,
        "cost": settlement.cost,
        **_price_values(settlement.price),
        "ttft_ms": settlement.ttft_ms,
        "duration_ms": settlement.duration_ms,
        "settled_at": settlement.settled_at,
        "frees_key": settlement.frees_idempotency_key,
    }


def _price_values(price: Price | None) -> dict[str, Pico | None]:
    return {
        "price_input": None if price is None else price.input,
        "price_cached_input": None if price is None else price.cached_input,
        "price_output": None if price is None else price.output,
    }


def _interrupted(generation_id: str, known: Sequence[Any], now: float) -> Settlement:
    """The settlement of a row without an owner; one that was never taken over never asked its upstream either."""
    asked, answered, delivered, duration, *priced = known
    begun = answered is not None
    price = read_price(priced)
    input_tokens, output_tokens = (asked or 0, answered) if begun else (0, 0)
    return Settlement(
        id=generation_id,
        status="interrupted",
        reason="interrupted",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        source="estimated" if begun else "counted",
        delivered_tokens=delivered or 0,
        cost=None if price is None else cost_of(price, input_tokens, 0, output_tokens),
        price=price,
        duration_ms=duration or 0.0,
        settled_at=now,
        bill=_bill(priced[3], priced[4], input_tokens + output_tokens),
        frees_idempotency_key=not output_tokens,
    )


def _bill(customer: str | None, meter: str | None, value: int) -> Bill | None:
    if customer is None or meter is None or not value:
        return None
    return Bill(customer=customer, meter=meter, value=value)
