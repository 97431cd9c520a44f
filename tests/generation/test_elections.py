"""Idempotency keys: which requests share a generation, for how long, and what they are spared."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from tests.gateway import STREAM, WHOLE, gateway, refusal
from tests.reader import Reader
from tests.tap import Tap
from tests.waiting import until

from tailrace.errors import UpstreamError
from tailrace.events import UsageReported

pytestmark = pytest.mark.usefixtures("no_leaks")

HI: Final = {"message": "Hi"}


def election(key: str = "k") -> dict[str, str]:
    """The header of an idempotency key."""
    return {"idempotency-key": key}


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


async def test_an_election_that_memory_has_no_longer() -> None:
    """While its stream is kept the same key and body get all of it, long after memory has let go."""
    async with gateway() as house:
        first = await house.say("Hel", "lo", key=election())
        await house.settled()
        house.forget_logs()
        again = await house.ask("POST", STREAM, HI, headers=election())
        assert (again.status, again.text) == (200, "Hello")
        assert again.headers["x-tailrace-stream"] == first.headers["x-tailrace-stream"]
        assert len(house.tap.runs) == 1


async def test_an_election_that_is_kept_no_longer() -> None:
    """Once the stream is gone the same key and body are 410; nothing is asked again."""
    async with gateway(stream={"keep_s": 0.0}) as house:
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
