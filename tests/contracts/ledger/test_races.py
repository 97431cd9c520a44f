"""What every ledger promises when many ask at once, in several processes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.ledger.installation import Installation
from tests.ledger.process import opened_process
from tests.ledger.specimens import begun, opening, settlement, turn

from tailrace.errors import RequestError
from tailrace.ledger import Budget, Joined, Ledger, Opened, Opening, Scope


async def outcome(ledger: Ledger, asked: Opening) -> str:
    """What came of an opening: "opened", the id that was joined, or the error's code."""
    try:
        result = await ledger.begin(asked)
    except RequestError as error:
        return error.code
    return "opened" if isinstance(result, Opened) else result.generation_id


async def test_a_hundred_twins_are_one_generation(installation: Installation) -> None:
    """A hundred requests with one idempotency key, in two processes: one row, which all the others join."""
    twins = [opening(idempotency_key="once", body_hash="h", session_id="s", turns=(turn("x"),)) for _ in range(100)]
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(opened_process(installation.settings)) for _ in range(2)]
        answers = await asyncio.gather(processes[0].begin(twins[:50]), processes[1].begin(twins[50:]))
        said = [answer for answers_of_one in answers for answer in answers_of_one]
        first = twins[said.index("opened")].id
        assert sorted(set(said)) == sorted({"opened", first})
        assert said.count("opened") == 1
        ledger = await installation.open()
        assert [row.id for row in (await ledger.rows(Scope(), limit=200)).items] == [first]


async def test_one_of_many_gets_the_session(installation: Installation) -> None:
    """Of requests for one session in two processes one begins at a time, and each answer leaves its turns."""
    ledgers = [await installation.open() for _ in range(2)]
    for round_ in range(5):
        asked = [opening(session_id="s", turns=(turn(f"{round_} {place}"),)) for place in range(20)]
        said = await asyncio.gather(*(outcome(ledgers[place % 2], one) for place, one in enumerate(asked)))
        assert sorted(said) == sorted(["opened"] + ["session_busy"] * 19)
        place = said.index("opened")
        assert await ledgers[place % 2].settle(settlement(asked[place].id, answer=turn("a", role="assistant")))
        history = await ledgers[0].history(asked[0].scope, "s")
        assert [found.role for found in history] == ["user", "assistant"] * (round_ + 1)


async def test_a_budget_is_never_overrun(installation: Installation) -> None:
    """Requests in two processes that together ask for more than a budget has get what it has, and no more."""
    ledgers = [await installation.open() for _ in range(2)]
    budget = Budget(amount=100, period="day")
    asked = [opening(reserved=10, budget=budget, session_id=f"s{place % 7}") for place in range(60)]
    said = await asyncio.gather(*(outcome(ledgers[place % 2], one) for place, one in enumerate(asked)))
    opened = said.count("opened")
    assert await ledgers[0].spent("k1", budget) == 10 * opened <= 100
    assert set(said) <= {"opened", "session_busy", "budget_exceeded"}


async def test_twins_join_whatever_refuses_them(installation: Installation) -> None:
    """Twins whose budget has room for one and whose session has room for one all join it: none is refused."""
    ledgers = [await installation.open() for _ in range(2)]
    given = {
        "reserved": 10,
        "budget": Budget(amount=10, period="total"),
        "session_id": "s",
        "idempotency_key": "once",
        "body_hash": "h",
    }
    asked = [opening(**given) for _ in range(30)]
    said = await asyncio.gather(*(outcome(ledgers[place % 2], one) for place, one in enumerate(asked)))
    assert sorted(set(said)) == sorted({"opened", asked[said.index("opened")].id})


async def test_settling_and_opening_at_once_never_deadlock(installation: Installation) -> None:
    """Hundreds of openings and settlements of few keys and sessions, in two processes, all come to an end."""
    ledgers = [await installation.open() for _ in range(2)]

    async def work(place: int) -> None:
        ledger = ledgers[place % 2]
        for round_ in range(10):
            scope = Scope(key_id=f"k{(place + round_) % 3}")
            budget = Budget(amount=10**9, period="month")
            asked = opening(scope=scope, session_id=f"s{place}", turns=(turn("x"),), reserved=5, budget=budget)
            assert await ledger.begin(asked) == Opened()
            assert await ledger.settle(settlement(asked.id, cost=3, answer=turn("a", role="assistant")))

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(place) for place in range(20)))
    budget = Budget(amount=1, period="total")
    assert sum([await ledgers[0].spent(f"k{place}", budget) for place in range(3)]) == 3 * 200


async def test_one_refusal_does_not_spoil_its_neighbours(ledger: Ledger) -> None:
    """Openings that are refused and openings that are not, asked for at once, each get what they would alone."""
    first = await begun(ledger, session_id="busy", idempotency_key="once", body_hash="h")
    asked = [
        opening(),
        opening(session_id="busy"),
        opening(idempotency_key="once", body_hash="other"),
        opening(session_id="other", after="unknown"),
        opening(session_id="new"),
        opening(reserved=2, budget=Budget(amount=1, period="day")),
        opening(idempotency_key="once", body_hash="h"),
        opening(input_tokens=2**70),
        opening(),
    ]
    said = await asyncio.gather(*(ledger.begin(one) for one in asked), return_exceptions=True)
    codes = [one.code if isinstance(one, RequestError) else one for one in said]
    assert codes[1:4] == ["session_busy", "idempotency_mismatch", "message_not_found"]
    assert codes[5:7] == ["budget_exceeded", Joined(generation_id=first)]
    assert isinstance(said[7], Exception)
    assert [codes[place] for place in (0, 4, 8)] == [Opened()] * 3
    opened = {row.id for row in (await ledger.rows(Scope(), limit=99)).items}
    assert opened == {first, *(asked[place].id for place in (0, 4, 8))}
