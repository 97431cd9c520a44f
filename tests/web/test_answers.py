"""How a request is taken and how its answer is given: policies, elections in a query, joined and refused answers."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tests.gateway import STREAM, WHOLE, gateway, refusal
from tests.reader import Reader
from tests.waiting import until

from tailrace.errors import UpstreamError

pytestmark = pytest.mark.usefixtures("no_leaks")

HI: Final = {"message": "Hi"}
ELECTION: Final = {"idempotency-key": "k"}


@pytest.mark.parametrize(
    ("key", "header", "body", "stays"),
    [
        (None, None, None, False),
        ("continue", None, None, True),
        ("continue", "cancel", None, False),
        ("cancel", "continue", None, True),
        ("cancel", "cancel", "continue", True),
    ],
)
async def test_a_key_has_a_policy_of_its_own(key: Any, header: Any, body: Any, stays: bool) -> None:
    """What happens when the reader leaves: the request's body says it, else its header, else its key."""
    async with gateway() as house, Reader(house.url) as reader:
        caller = await house.key(**({} if key is None else {"on_disconnect": key}))
        headers = {} if header is None else {"x-tailrace-on-disconnect": header}
        said = {} if body is None else {"on_disconnect": body}
        run = await house.begin(reader, key=caller, headers=headers, **said)
        run.say("Hi")
        await reader.until(b'"delta"')
        reader.leave()
        await until(lambda: not any(log.viewers for log in house.tailrace.generations.ring))
        await until(lambda: run.over != stays)
        run.finish()
        assert (await house.settled_row()).status == ("finished" if stays else "aborted")


async def test_an_election_in_the_query_of_a_post() -> None:
    """`?idempotency_key=` counts on a POST too, and the header goes before it; it is no part of what is asked."""
    async with gateway() as house:
        first = await house.say("Hello", target=f"{STREAM}?idempotency_key=k")
        for target, headers in ((f"{STREAM}?idempotency_key=k", {}), (f"{STREAM}?idempotency_key=other", ELECTION)):
            assert (await house.ask("POST", target, HI, headers=headers)).body == first.body
        assert (await house.ask("POST", STREAM, HI, headers=ELECTION)).body == first.body


async def test_a_cursor_goes_before_an_election() -> None:
    """A request with both a cursor and an idempotency key resumes, and never generates."""
    async with gateway() as house:
        first = await house.say("Hel", "lo", key=ELECTION)
        cursor = first.events[0].id
        assert cursor
        rest = await house.ask("POST", STREAM, HI, headers={**ELECTION, "last-event-id": cursor})
        assert rest.text == "lo"
        assert len(house.tap.runs) == 1


async def test_a_joined_answer_that_was_cut() -> None:
    """Who attaches to an answer that failed with a part said gets the same error, streaming or whole."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, target=WHOLE, headers=ELECTION)
        run.say("Hel")
        run.fail(UpstreamError("upstream_cut", "cut"))
        first = await reader.whole()
        assert (refusal(first), first.json()["text"]) == ((502, "upstream_cut"), "Hel")
        await house.settled()
        again = await house.ask("POST", WHOLE, HI, headers=ELECTION)
        assert (refusal(again), again.json()["text"]) == ((502, "upstream_cut"), "Hel")
        assert len(house.tap.runs) == 1


@pytest.mark.parametrize("target", [STREAM, WHOLE])
async def test_limits_are_told_on_an_upstream_s_refusal_too(target: str) -> None:
    """The rate limits' headers are on a refusal that the upstream made."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, target=target, key=await house.key(rpm=5))
        run.fail(UpstreamError("upstream_refused", "no", status=400))
        answer = await reader.whole()
        assert (answer.status, answer.headers["x-ratelimit-remaining-requests"]) == (400, "4")


async def test_an_event_source_is_refused_before_it_begins() -> None:
    """Limits, budgets and elections refuse an EventSource with their status, as nothing was asked of anyone."""
    async with gateway() as house:
        key = await house.key(rpm=1)
        token = (await house.token(key))["authorization"].removeprefix("Bearer ")
        await house.ask("GET", f"/v1/chat?message=Hi&model=simulated/n1-d0&token={token}")
        answer = await house.ask("GET", f"/v1/chat?message=Hi&token={token}")
        assert refusal(answer) == (429, "rate_limited")


async def test_a_renewed_token_attaches() -> None:
    """The token in the query is no part of what is asked: an EventSource with a renewed one joins its generation."""
    async with gateway() as house:
        key = await house.key()
        answers = []
        for ttl in (50, 60):
            token = (await house.token(key, user="ada", ttl_seconds=ttl))["authorization"].removeprefix("Bearer ")
            target = f"/v1/chat?message=Hi&model=simulated/n3-d0&idempotency_key=k&token={token}"
            answers.append(await house.ask("GET", target))
        assert len({(answer.status, answer.text) for answer in answers}) == 1
        assert len(await house.settled()) == 1
