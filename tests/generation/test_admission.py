"""Who is let in: limits and allow-lists; every way out gives back what was taken."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from tests.gateway import STREAM, WHOLE, Gateway, gateway, refusal
from tests.reader import Reader
from tests.waiting import until

from tailrace.errors import UpstreamError
from tailrace.events import UsageReported
from tailrace.settings import LimitSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

HI: Final = {"message": "Hi"}


# Limits


async def test_requests_a_minute() -> None:
    """`rpm` lets so many in, each told how many are left, and refuses the next with 429 and when to come back."""
    async with gateway() as house:
        key = await house.key(rpm=2)
        said = [await house.say("x", key=key, target=target) for target in (STREAM, WHOLE)]
        assert [answer.headers["x-ratelimit-remaining-requests"] for answer in said] == ["1", "0"]
        assert {answer.headers["x-ratelimit-limit-requests"] for answer in said} == {"2"}
        answer = await house.ask("POST", STREAM, HI, headers=key)
        assert refusal(answer) == (429, "rate_limited")
        assert 0 < int(answer.headers["retry-after"]) <= 30
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
        assert (await house.say("x", key=await house.key(rpm=2))).status == 200


async def test_tokens_a_minute() -> None:
    """`tpm` reserves a guess while the answer is made, and counts the truth once it has ended."""
    async with gateway() as house:
        key = await house.key(tpm=10_000)
        usage = UsageReported(input_tokens=1500, output_tokens=500)
        first = await house.say("x", key=key, usage=usage, max_tokens=4000)
        guess = 4000 + 4
        assert 10_000 - guess - 1 <= int(first.headers["x-ratelimit-remaining-tokens"]) <= 10_000 - guess
        second = await house.say("x", key=key, max_tokens=1)
        assert 10_000 - 2000 - 6 <= int(second.headers["x-ratelimit-remaining-tokens"]) <= 10_000 - 2000 + 300
        answer = await house.ask("POST", STREAM, {**HI, "max_tokens": 9990}, headers=key)
        assert refusal(answer) == (429, "rate_limited")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["x-ratelimit-limit-tokens"] == "10000"


async def test_streams_at_a_time() -> None:
    """`max_streams` refuses one more while they run, and never the one that follows right on an end."""
    async with gateway() as house, Reader(house.url) as reader:
        key = await house.key(max_streams=1)
        run = await house.begin(reader, key=key)
        answer = await house.ask("POST", STREAM, HI, headers=key)
        assert refusal(answer) == (429, "too_many_streams")
        assert answer.headers["retry-after"] == "1"
        run.finish()
        await reader.whole()
        for _ in range(30):
            assert (await house.say("x", key=key)).status == 200


async def test_the_default_limits_are_of_keys_without_their_own() -> None:
    """`[limits]` holds for a key that has none, and a key's own limit takes its place."""
    async with gateway(limits=LimitSettings(rpm=1)) as house:
        plain, own = await house.key(), await house.key(rpm=3)
        assert [(await house.say("x", key=own)).status for _ in range(3)] == [200] * 3
        assert (await house.say("x", key=plain)).status == 200
        assert refusal(await house.ask("POST", STREAM, HI, headers=plain)) == (429, "rate_limited")


async def test_an_estimate_is_never_endless() -> None:
    """A request for more tokens than a minute has is let in when nothing was used, and owes no more than it used."""
    async with gateway() as house:
        key = await house.key(tpm=1000)
        usage = UsageReported(input_tokens=1, output_tokens=1)
        assert (await house.say("x", key=key, usage=usage, max_tokens=10**6)).status == 200
        answer = await house.say("x", key=key, max_tokens=1)
        assert math.isclose(int(answer.headers["x-ratelimit-remaining-tokens"]), 1000 - 2 - 5, abs_tol=20)


# What was taken is given back

Way = Callable[[Gateway, dict[str, str]], Awaitable[None]]


async def by_session(house: Gateway, key: dict[str, str]) -> None:
    """Refused, for the session has a running generation."""
    ada = await house.key()
    async with Reader(house.url) as reader:
        run = await house.begin(reader, key=ada, session_id="s")
        house.execute("UPDATE generations SET key_id = ?", house.key_ids[key["x-api-key"]])
        answer = await house.ask("POST", STREAM, {**HI, "session_id": "s"}, headers=key)
        assert refusal(answer) == (409, "session_busy")
        run.finish()
        await reader.whole()


async def by_message(house: Gateway, key: dict[str, str]) -> None:
    """Refused, for `after` names nothing."""
    body = {**HI, "session_id": "s", "after": "msg_none"}
    assert refusal(await house.ask("POST", STREAM, body, headers=key)) == (404, "message_not_found")


async def by_database(house: Gateway, key: dict[str, str]) -> None:
    """Refused, for the database takes nothing."""
    with house.database_gone():
        answer = await house.ask("POST", STREAM, HI, headers=key)
        assert refusal(answer) == (503, "store_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert str(house.path) not in answer.body.decode()


async def by_upstream(house: Gateway, key: dict[str, str]) -> None:
    """The upstream refuses."""
    async with Reader(house.url) as reader:
        run = await house.begin(reader, key=key)
        run.fail(UpstreamError("upstream_refused", "no", status=400))
        assert (await reader.whole()).status == 400


async def by_cut(house: Gateway, key: dict[str, str]) -> None:
    """The upstream breaks off."""
    async with Reader(house.url) as reader:
        run = await house.begin(reader, key=key)
        run.say("Hel")
        run.fail(UpstreamError("upstream_cut", "cut"))
        await reader.whole()


async def by_leaving_early(house: Gateway, key: dict[str, str]) -> None:
    """The reader leaves before the first token."""
    async with Reader(house.url) as reader:
        run = await house.begin(reader, key=key)
        reader.leave()
        await until(lambda: run.over and not house.tailrace.generations.running())


async def by_leaving(house: Gateway, key: dict[str, str]) -> None:
    """The reader leaves after the first token."""
    async with Reader(house.url) as reader:
        run = await house.begin(reader, key=key)
        run.say("Hel")
        await reader.until(b"Hel")
        reader.reset()
        await until(lambda: run.over and not house.tailrace.generations.running())


async def by_cancel(house: Gateway, key: dict[str, str]) -> None:
    """It is cancelled."""
    async with Reader(house.url) as reader:
        await house.begin(reader, key=key)
        (generation,) = house.tailrace.generations.running()
        await house.ask("POST", f"/v1/streams/{generation.id}/cancel", headers=key)
        await reader.whole()


async def by_error(house: Gateway, key: dict[str, str]) -> None:
    """A provider has a bug."""
    async with Reader(house.url) as reader:
        run = await house.begin(reader, key=key)
        run.fail(ZeroDivisionError())
        assert (await reader.whole()).status == 500


REFUSALS: Final = (by_session, by_message, by_database)
ENDS: Final = (by_upstream, by_cut, by_leaving_early, by_leaving, by_cancel, by_error)


@pytest.mark.parametrize("way", [*REFUSALS, *ENDS])
async def test_a_stream_s_place_is_given_back(way: Way) -> None:
    """Whichever way a request goes out, the next one of a key with one stream at a time is let in."""
    async with gateway() as house:
        key = await house.key(max_streams=1)
        for _ in range(2):
            house.execute("DELETE FROM generations")
            await way(house, key)
        assert (await house.say("Hello", key=key)).text == "Hello"


@pytest.mark.parametrize("way", REFUSALS)
async def test_a_refused_request_was_none(way: Way) -> None:
    """What was refused after the limits had let it in counts as no request, and its tokens as not used."""
    async with gateway() as house:
        key = await house.key(rpm=1, tpm=2000)
        await way(house, key)
        answer = await house.say("Hello", key=key)
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) >= 2000 - 1004 - 1


async def test_a_failed_answer_counts_as_a_request_and_no_tokens() -> None:
    """An upstream's refusal takes a request of the minute, and gives the reserved tokens back."""
    async with gateway() as house:
        key = await house.key(rpm=2, tpm=1500)
        await by_upstream(house, key)
        answer = await house.say("Hello", key=key)
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) >= 1500 - 1004 - 1


# Allow-lists


async def test_a_model_that_is_not_allowed() -> None:
    """A key with an allow-list, and a token with one, may use what is in it; all else is 403 and is not asked."""
    async with gateway() as house:
        key = await house.key(models=["priced", "tap/big"])
        token = await house.token(key, models=["tap/big"])
        asked = [(key, "tap"), (key, "tap/small"), (token, "priced"), (token, "tap")]
        for caller, model in asked:
            answer = await house.ask("POST", STREAM, {**HI, "model": model}, headers=caller)
            assert refusal(answer) == (403, "model_not_allowed")
        assert not house.tap.runs
        for caller, model in [(key, "priced"), (key, "tap/big"), (token, "tap/big")]:
            assert (await house.say("x", key=caller, model=model)).status == 200
