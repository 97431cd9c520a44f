"""A generation's one settlement: by its owner, or by whoever finds its owner dead.

Every work takes its locks in the same order (generation, session, spend), so that no two wait for each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from tailrace.ledger import checkpoints, outbox, sessions, spend
from tailrace.ledger.base import Opening, Scope, Settlement
from tailrace.ledger.database import Batch, BatchWork, Many, Query, Work, read_names
from tailrace.ledger.prices import cost_of, price_columns, read_price
from tailrace.ledger.texts import make_storable

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

_COLUMNS: Final = """id, owner, status, reason, provider, model, input_tokens, output_tokens, reasoning_tokens,
    cached_input_tokens, source, delivered_tokens, cost, price_input, price_cached_input, price_output, ttft_ms,
    duration_ms, settled_at"""
_NAMES: Final = read_names(_COLUMNS)

_SETTLE_ALL: Final = Many(f"""WITH new ({_COLUMNS}) AS (VALUES {{rows}})
    -- Write the final figures of several rows, those that still run and are still ours.
    UPDATE OR FAIL generations SET status = new.status, reason = new.reason,
        provider = coalesce(new.provider, generations.provider), model = coalesce(new.model, generations.model),
        input_tokens = new.input_tokens, output_tokens = new.output_tokens, reasoning_tokens = new.reasoning_tokens,
        cached_input_tokens = new.cached_input_tokens, source = new.source, delivered_tokens = new.delivered_tokens,
        cost = new.cost, price_input = new.price_input, price_cached_input = new.price_cached_input,
        price_output = new.price_output, ttft_ms = new.ttft_ms, duration_ms = new.duration_ms,
        settled_at = new.settled_at
    FROM new WHERE generations.id = new.id AND generations.status = 'running' AND generations.owner = new.owner""")  # noqa: S608

_TAKE_OVER: Final = Query("""-- Take the running rows of a process that died.
    UPDATE generations SET owner = :owner, output_tokens = coalesce(output_tokens, 0),
        delivered_tokens = coalesce(delivered_tokens, 0), duration_ms = coalesce(duration_ms, 0)
    WHERE owner = :dead AND status = 'running' RETURNING id, created_at""")

_OWNER: Final = Query("""-- Whose row it is, while it runs.
    SELECT owner FROM generations WHERE id = :id AND status = 'running'""")

_SEIZE: Final = Query("""-- Take one running row, though its owner may live.
    UPDATE generations SET owner = :owner, output_tokens = coalesce(output_tokens, 0),
        delivered_tokens = coalesce(delivered_tokens, 0), duration_ms = coalesce(duration_ms, 0)
    WHERE id = :id AND owner = :former AND status = 'running' RETURNING created_at""")

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

Settling: TypeAlias = tuple[Settlement, str, Opening]
"""A settlement, the owner of its row, and how that was opened."""


def settle(settlement: Settlement, owner: str) -> Work[bool]:
    """Write the final figures; False where the row runs no longer, or belongs to another."""
    values = dict(zip(_NAMES, _row(settlement, owner), strict=True))
    found = yield _SETTLE, {**values, "frees_key": settlement.frees_idempotency_key}
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


def is_plain(settlement: Settlement) -> bool:
    """Whether there is nothing to it but figures and what they cost."""
    return settlement.answer is None and settlement.bill is None and not settlement.frees_idempotency_key


def _settle(settling: Settling) -> Work[bool]:
    settlement, owner, _ = settling
    return settle(settlement, owner)


def _settle_all(settlings: Sequence[Settling]) -> BatchWork[bool | None]:
    changed = yield _SETTLE_ALL, [_row(settlement, owner) for settlement, owner, _ in settlings]
    if changed[0][0] != len(settlings):
        return None
    for key_id, at, settled, reserved in _sum_up(settlings):
        yield from spend.add_spend(key_id, at, settled=settled, reserved=reserved)
    return True


PLAIN: Final = Batch[Settling, bool](_settle, _settle_all)
"""The settlements that are plain."""


def _sum_up(settlings: Iterable[Settling]) -> list[tuple[str, float, int, int]]:
    """What each key's spending changes by on each day of openings: the key, a time on that day, settled, reserved."""
    sums = defaultdict[tuple[str, float], list[int]](lambda: [0, 0])
    for settlement, _, opening in settlings:
        if opening.reserved or settlement.cost:
            of_day = sums[opening.scope.key_id or "", opening.created_at // spend.DAY_S * spend.DAY_S]
            of_day[0] += settlement.cost or 0
            of_day[1] -= opening.reserved
    return [(key_id, at, settled, reserved) for (key_id, at), (settled, reserved) in sums.items()]


def take_over(dead: str, owner: str) -> Work[None]:
    """Make the running rows of a process that died our own, with what it noted last."""
    taken = yield _TAKE_OVER, {"dead": dead, "owner": owner}
    yield from _note_last_counts(dead, taken)
    yield from checkpoints.drop_checkpoint(dead)


def inherit(generation_id: str, owner: str, now: float) -> Work[bool]:
    """Take a running row from whoever owns it, and settle it with what its owner noted last."""
    found = yield _OWNER, {"id": generation_id}
    if not found or found[0][0] == owner:
        return False
    (former,) = found[0]
    taken = yield _SEIZE, {"id": generation_id, "owner": owner, "former": former}
    yield from _note_last_counts(former, [(generation_id, row[0]) for row in taken])
    settled = yield from interrupt(generation_id, owner, now)
    return settled


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


def _note_last_counts(former: str, taken: Iterable[Sequence[Any]]) -> Work[None]:
    """Put into rows, each with its beginning, what their former owner's last record says."""
    noted = yield from checkpoints.read_checkpoint(former)
    for id_, created_at in taken:
        if (count := noted.counts.get(id_)) is not None:
            duration = max(0.0, noted.written_at - created_at) * 1000
            yield _NOTE, {"id": id_, "duration_ms": duration, **msgspec.structs.asdict(count)}


def _row(settlement: Settlement, owner: str) -> tuple[Any, ...]:
    """The values of its columns, in their order."""
    return (
        settlement.id,
        owner,
        settlement.status,
        make_storable(settlement.reason),
        settlement.provider,
        settlement.model,
        settlement.input_tokens,
        settlement.output_tokens,
        settlement.reasoning_tokens,
        settlement.cached_input_tokens,
        settlement.source,
        settlement.delivered_tokens,
        settlement.cost,
        *price_columns(settlement.price),
        settlement.ttft_ms,
        settlement.duration_ms,
        settlement.settled_at,
    )


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
        bill=outbox.bill_for(priced[3], priced[4], input_tokens=input_tokens, output_tokens=output_tokens),
        frees_idempotency_key=not output_tokens,
    )
