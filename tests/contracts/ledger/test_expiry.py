"""What every ledger promises of the conversations of stored responses: they are forgotten, and no others are."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from tests.ledger.installation import Installation
from tests.ledger.specimens import SCOPE, begun, row, settlement, turn

from tailrace.ledger import Ledger, Scope

DAY_S: Final = 86_400.0
OTHER: Final = Scope(key_id="k2", user="ann")


def response(number: int) -> str:
    """The id of a stored response."""
    return f"resp_{number:024x}"


async def talked(ledger: Ledger, session_id: str, *, days_ago: float, scope: Scope = SCOPE) -> str:
    """A conversation with one answer, as old as said; the answer's id."""
    then = time.time() - days_ago * DAY_S
    generation = await begun(ledger, session_id=session_id, scope=scope, turns=(turn("Hi"),), created_at=then)
    answer = turn("Ho", role="assistant", generation_id=generation)
    await ledger.settle(settlement(generation, answer=answer, settled_at=then))
    return generation


async def kept(ledger: Ledger, *session_ids: str, scope: Scope = SCOPE) -> list[bool]:
    """Which of these there are."""
    return [bool(await ledger.history(scope, session_id)) for session_id in session_ids]


async def test_stored_responses_expire(installation: Installation) -> None:
    """Those that nobody used for a month are forgotten, whosever they are; their rows stay, and other sessions do."""
    first = await installation.open()
    generation = await talked(first, response(1), days_ago=32)
    await talked(first, response(2), days_ago=32, scope=OTHER)
    await talked(first, "tea", days_ago=400)
    await talked(first, response(3), days_ago=29.9)
    second = await installation.open()
    assert await kept(second, response(1), "tea", response(3)) == [False, True, True]
    assert await kept(second, response(2), scope=OTHER) == [False]
    assert (await row(second, generation)).output_tokens == 20


async def test_what_is_used_is_kept(installation: Installation) -> None:
    """A use counts anew, though it is not written down each time; of what there is not nothing is made."""
    first = await installation.open()
    await talked(first, response(1), days_ago=32)
    await talked(first, response(2), days_ago=32)
    await talked(first, response(1), days_ago=32, scope=OTHER)
    for _ in range(2):
        await first.renew_sessions(SCOPE, [response(1), response(9), "no\x00session"])
    second = await installation.open()
    assert await kept(second, response(1), response(2), response(9)) == [True, False, False]
    assert await kept(second, response(1), scope=OTHER) == [False]


async def test_many_expire_a_few_at_a_time(installation: Installation) -> None:
    """However many there are, each sweep looks at a bounded number, and several processes come to the end of them."""
    first = await installation.open()
    responses = [response(number) for number in range(330)]
    sessions = [f"s{number}" for number in range(90)]
    old = [name for pair in zip(responses[:90], sessions, strict=True) for name in pair] + responses[90:]
    for start in range(0, len(old), 30):
        await asyncio.gather(*(talked(first, name, days_ago=40) for name in old[start : start + 30]))
    others = [await installation.open() for _ in range(2)]
    assert any(await kept(first, *responses))
    for _ in range(3):
        await asyncio.gather(*(ledger.sweep() for ledger in others))
    assert not any(await kept(first, *responses))
    assert all(await kept(first, *sessions))
