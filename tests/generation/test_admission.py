"""Who is let in: elections first, then limits, budgets and allow-lists; every way out gives back what was taken."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from tests.gateway import IN, OUT, STREAM, WHOLE, Gateway, gateway
from tests.reader import Answer, Reader
from tests.tap import Tap
from tests.waiting import until

from tailrace.errors import UpstreamError
from tailrace.events import UsageReported
from tailrace.settings import LimitSettings, ModelSettings, Price, SessionSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

HI: Final = {"message": "Hi"}


def election(key: str = "k") -> dict[str, str]:
    """The header of an idempotency key."""
    return {"idempotency-key": key}


def refusal(answer: Answer) -> tuple[int, str]:
    """A refusal's status and code."""
    return answer.status, answer.json()["code"]


# Elections


async def test_a_double_click_shares_one_generation() -> None:
    """A second request with the same key and body reads the same generation from its start, while it runs."""
    async with gateway() as house, Reader(house.url) as first, Reader(house.url) as second:
        run = await house.begin(first, headers=election())
        run.say("Hel")
        await first.until(b"Hel")
        await second.ask("POST", STREAM, HI, headers=election())
        await second.until(b"Hel")
        run.say("lo")
        run.finish()
        answers = [await reader.whole() for reader in (first, second)]
        assert answers[0].body == answers[1].body
        assert answers[0].headers["x-tailrace-stream"] == answers[1].headers["x-tailrace-stream"]
        assert len(house.tap.runs) == len(await house.settled()) == 1


async def test_an_election_outlives_its_generation() -> None:
    """The same key and body attach after the end too, as a stream and as one JSON."""
    async with gateway() as house:
        for target in (STREAM, WHOLE):
            async with Reader(house.url) as reader:
                run = await house.begin(reader, target=target, headers=election(target))
                run.say("Hello")
                run.finish()
                first = await reader.whole()
            again = await house.ask("POST", target, HI, headers=election(target))
            assert (again.status, again.body) == (200, first.body)
        assert len(house.tap.runs) == 2


async def test_fifty_at_once_ask_the_upstream_once() -> None:
    """Of fifty simultaneous requests one generates, though the key may ask once a minute, and all answers are equal."""
    async with gateway() as house:
        key = await house.key(rpm=1, max_streams=1)
        await house.ask("GET", "/v1/sessions", headers=key)
        asking = [asyncio.create_task(house.ask("POST", STREAM, HI, headers={**key, **election()})) for _ in range(50)]
        run = await house.tap.asked()
        run.say("Hel", "lo")
        await until(lambda: sum(log.viewers for log in house.tailrace.generations.ring) == 50)
        run.finish()
        answers = await asyncio.gather(*asking)
        assert {(answer.status, answer.text) for answer in answers} == {(200, "Hello")}
        assert len({answer.headers["x-tailrace-stream"] for answer in answers}) == 1
        assert len(house.tap.runs) == len(await house.settled()) == 1


async def test_an_attach_counts_against_no_limit_and_no_budget() -> None:
    """A key that has spent its requests, streams and budget still attaches to what it has asked before."""
    async with gateway() as house, Reader(house.url) as reader:
        key = await house.key(rpm=1, tpm=2000, max_streams=1, budget_usd="0.001")
        run = await house.begin(reader, key=key, headers=election(), model="priced")
        run.say("Hello", UsageReported(input_tokens=0, output_tokens=100))
        asked = {**HI, "model": "priced"}
        async with Reader(house.url) as second:
            await second.ask("POST", STREAM, asked, headers={**key, **election()})
            await second.until(b"Hello")
            run.finish()
            assert (await second.whole()).status == 200
        assert (await house.settled_row()).output_tokens == 100
        for _ in range(3):
            again = await house.ask("POST", STREAM, asked, headers={**key, **election()})
            assert (again.status, again.text) == (200, "Hello")
            assert not [name for name in again.headers if name.startswith("x-ratelimit")]
        assert refusal(await house.ask("POST", STREAM, asked, headers=key)) == (429, "rate_limited")


async def test_another_body_is_refused() -> None:
    """The same key with another body, route or query is 422 and names the header; nothing is asked."""
    async with gateway() as house, Reader(house.url) as reader:
        await house.begin(reader, headers=election())
        others: list[tuple[str, Any]] = [(STREAM, {"message": "Ho"}), (WHOLE, HI), (f"{STREAM}?x=1", HI)]
        for target, body in others:
            answer = await house.ask("POST", target, body, headers=election())
            assert refusal(answer) == (422, "idempotency_mismatch")
            assert answer.json()["detail"].startswith("this idempotency key was used with another body")
        assert len(house.tap.runs) == 1


async def test_an_election_is_a_key_s_and_a_user_s_own() -> None:
    """Another key, and another user of the same key, have elections of their own under the same name."""
    async with gateway() as house:
        one, other = await house.key(), await house.key()
        ada, bob = [await house.token(one, user=user) for user in ("ada", "bob")]
        for name, key in {"a": one, "b": other, "c": ada, "d": bob}.items():
            assert (await house.say(name, key={**key, **election()})).text == name
        again = await house.ask("POST", STREAM, HI, headers={**await house.token(one, user="ada"), **election()})
        assert again.text == "c"


async def test_a_token_s_session_is_part_of_what_is_asked() -> None:
    """Tokens of one key that are bound to different sessions do not share an election by accident."""
    async with gateway() as house:
        key = await house.key()
        one, other = [await house.token(key, session_id=name) for name in ("s1", "s2")]
        await house.say("a", key={**one, **election()})
        answer = await house.ask("POST", STREAM, HI, headers={**other, **election()})
        assert refusal(answer) == (422, "idempotency_mismatch")


async def test_an_election_that_is_kept_no_longer() -> None:
    """Once the stream is gone the same key and body are 410; nothing is asked again."""
    async with gateway() as house:
        first = await house.say("Hello", key=election())
        await house.settled()
        house.forget_logs()
        answer = await house.ask("POST", STREAM, HI, headers=election())
        assert refusal(answer) == (410, "stream_gone")
        assert first.headers["x-tailrace-stream"] in answer.json()["detail"]
        assert len(house.tap.runs) == 1


async def test_an_election_ends_after_a_day() -> None:
    """After 24 hours the key is free, for another body too; a minute before it is not."""
    async with gateway() as house:
        await house.say("Hello", key=election())
        await house.settled()
        house.execute("UPDATE generations SET created_at = created_at - 86340")
        assert (await house.ask("POST", STREAM, HI, headers=election())).text == "Hello"
        house.execute("UPDATE generations SET created_at = created_at - 60")
        assert (await house.say("Ho", key=election(), message="Ho")).text == "Ho"
        assert len(await house.settled(2)) == 2


@pytest.mark.parametrize("target", [STREAM, WHOLE])
async def test_a_failure_before_any_content_frees_the_key(target: str) -> None:
    """Who is told that it failed may ask again with the same key at once, and is answered anew."""
    tap = Tap(*(UpstreamError("upstream_error", "busy") for _ in range(20)))
    async with gateway(tap=tap) as house:
        for asked in range(1, 21):
            answer = await house.ask("POST", target, HI, headers=election())
            assert refusal(answer) == (502, "upstream_error")
            assert len(tap.runs) == asked
        assert (await house.say("Hello", key=election(), target=target)).status == 200


async def test_a_failure_after_content_keeps_the_key() -> None:
    """What failed with a part said is attached to, not made again: it was paid for."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, headers=election())
        run.say("Hel")
        run.fail(UpstreamError("upstream_cut", "cut"))
        first = await reader.whole()
        assert first.objects[-1]["code"] == "upstream_cut"
        await house.settled()
        assert (await house.ask("POST", STREAM, HI, headers=election())).body == first.body
        assert len(house.tap.runs) == 1


async def test_an_event_source_elects_in_its_query() -> None:
    """`?idempotency_key=` on a GET attaches too, with the id alone as its first frame; the header counts as well."""
    async with gateway() as house, Reader(house.url) as reader:
        await reader.ask("GET", "/v1/chat?message=Hi&idempotency_key=k")
        run = await house.tap.asked()
        run.say("Hello")
        run.finish()
        first = await reader.whole()
        assert first.body.startswith(b"id: %b.0\n\n" % first.headers["x-tailrace-stream"].encode())
        again = await house.ask("GET", "/v1/chat?idempotency_key=k&message=Hi")
        assert again.body == first.body
        other = await house.ask("GET", "/v1/chat?message=Ho&idempotency_key=k")
        assert refusal(other) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_an_idempotency_key_has_a_length(key: str) -> None:
    """An empty or endless key is 422 and names the header."""
    async with gateway() as house:
        answer = await house.ask("POST", STREAM, HI, headers=election(key))
        assert refusal(answer) == (422, "invalid_field")
        assert answer.json()["field"] == "Idempotency-Key"


async def test_an_election_holds_while_the_server_drains() -> None:
    """A server that stops takes nothing new, but who asks again for what runs may read it to its end."""
    async with gateway() as house, Reader(house.url) as first, Reader(house.url) as second:
        run = await house.begin(first, headers=election())
        draining = asyncio.create_task(house.tailrace.drain(10))
        await until(lambda: house.tailrace.generations.draining)
        assert refusal(await house.ask("POST", STREAM, HI)) == (503, "draining")
        await second.ask("POST", STREAM, HI, headers=election())
        await second.head()
        run.say("Hello")
        run.finish()
        assert (await second.whole()).text == "Hello"
        await draining


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


# Budgets


async def test_a_budget_needs_a_price() -> None:
    """A key with a budget may not use a model without a price, nor one with such a fallback; others may."""
    backed = ModelSettings(provider="tap", price=Price(input=1, output=1), fallback=("tap",))
    async with gateway(models={"backed": backed}) as house:
        key = await house.key(budget_usd="5")
        for model in ("tap", "backed"):
            answer = await house.ask("POST", STREAM, {**HI, "model": model}, headers=key)
            assert refusal(answer) == (403, "model_without_price")
            assert "the model tap has no price; set one in [models]" in answer.json()["detail"]
        assert (await house.say("x", key=key, model="priced")).status == 200
        assert (await house.say("x", key=await house.key())).status == 200
        assert len(house.tap.runs) == 2


@pytest.mark.parametrize("period", ["", "/day", "/month"])
async def test_an_exhausted_budget(period: str) -> None:
    """A key that has spent its budget is refused with 429 and told not to retry; nothing is asked for it."""
    async with gateway() as house:
        key = await house.key(budget_usd=f"0.005{period}")
        for _ in range(5):
            usage = UsageReported(input_tokens=0, output_tokens=100)
            assert (await house.say("x", key=key, model="priced", usage=usage)).status == 200
        answer = await house.ask("POST", STREAM, {**HI, "model": "priced"}, headers=key)
        assert refusal(answer) == (429, "budget_exceeded")
        assert answer.headers["x-should-retry"] == "false"
        assert len(house.tap.runs) == 5


async def test_a_budget_begins_anew_with_its_period() -> None:
    """What was spent on an earlier day counts against the month and in all, not against today."""
    async with gateway() as house:
        key = await house.key(budget_usd="0.001/day")
        usage = UsageReported(input_tokens=0, output_tokens=100)
        await house.say("x", key=key, model="priced", usage=usage)
        assert refusal(await house.ask("POST", STREAM, {**HI, "model": "priced"}, headers=key))[0] == 429
        house.execute("UPDATE spend SET starts = '2001-01-01' WHERE period = 'day'")
        assert (await house.say("x", key=key, model="priced")).status == 200


async def test_a_budget_that_runs_out_in_mid_stream() -> None:
    """The stream ends with `budget_exceeded`, the upstream is closed, and the row has the cost of what was said."""
    async with gateway() as house, Reader(house.url) as reader:
        key = await house.key(budget_usd="0.0001")  # ten tokens out, less the input
        run = await house.begin(reader, key=key, model="priced")
        for _ in range(20):
            run.say(" so")
        answer = await reader.whole()
        assert (answer.status, answer.objects[-1]["code"]) == (200, "budget_exceeded")
        assert run.over
        row = await house.settled_row()
        assert (row.status, row.reason, row.source) == ("failed", "budget_exceeded", "counted")
        assert answer.text == " so" * 9  # the tenth came, and was too much
        assert (row.output_tokens, row.delivered_tokens) == (10, 9)
        assert row.cost == (row.input_tokens or 0) * IN + 10 * OUT
        assert 10**8 < row.cost <= 10**8 + OUT


async def test_an_input_that_is_too_dear_is_not_sent() -> None:
    """What the budget does not reach for even without an answer is refused before the upstream is asked."""
    async with gateway() as house:
        key = await house.key(budget_usd="0.0001")
        answer = await house.ask("POST", STREAM, {"message": "long " * 200, "model": "priced"}, headers=key)
        assert refusal(answer) == (429, "budget_exceeded")
        assert not house.tap.runs


async def test_a_conversation_that_is_too_dear_is_not_sent() -> None:
    """The history counts too: a session that has grown beyond the budget is refused, its row closed at no cost."""
    async with gateway(sessions=SessionSettings(history_tokens=10**6)) as house:
        plain = await house.key()
        await house.say("long " * 200, key=plain, session_id="s")
        key = await house.key(budget_usd="0.0001")
        house.execute("UPDATE sessions SET key_id = ?", house.key_ids[key["x-api-key"]])
        answer = await house.ask("POST", STREAM, {**HI, "model": "priced", "session_id": "s"}, headers=key)
        assert refusal(answer) == (429, "budget_exceeded")
        row = (await house.settled(2))[1]
        assert (row.status, row.reason, row.cost, row.output_tokens) == ("failed", "budget_exceeded", 0, 0)
        assert house.execute("SELECT reserved FROM spend WHERE period = 'total' AND key_id = ?", row.scope.key_id) == [
            (0,)
        ]


async def test_who_reads_an_end_may_spend_what_was_reserved() -> None:
    """The reservation of an answer is gone when its end is read: the next request is never refused for it."""
    async with gateway() as house:
        key = await house.key(budget_usd="0.01")  # an answer reserves all of it
        usage = UsageReported(input_tokens=1, output_tokens=1)
        for _ in range(30):
            assert (await house.say("x", key=key, model="priced", usage=usage)).status == 200


async def test_running_streams_hold_their_reservations() -> None:
    """While a stream that has reserved the whole budget runs, another is refused."""
    async with gateway() as house, Reader(house.url) as reader:
        key = await house.key(budget_usd="0.01")
        run = await house.begin(reader, key=key, model="priced")
        answer = await house.ask("POST", STREAM, {**HI, "model": "priced"}, headers=key)
        assert refusal(answer) == (429, "budget_exceeded")
        run.finish()
        await reader.whole()


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


async def test_an_estimate_is_never_endless() -> None:
    """A request for more tokens than a minute has is let in when nothing was used, and owes no more than it used."""
    async with gateway() as house:
        key = await house.key(tpm=1000)
        usage = UsageReported(input_tokens=1, output_tokens=1)
        assert (await house.say("x", key=key, usage=usage, max_tokens=10**6)).status == 200
        answer = await house.say("x", key=key, max_tokens=1)
        assert math.isclose(int(answer.headers["x-ratelimit-remaining-tokens"]), 1000 - 2 - 5, abs_tol=20)
