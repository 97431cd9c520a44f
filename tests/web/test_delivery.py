"""How a log reaches its readers: real sockets, by both of the ways in which a response may be driven."""

from __future__ import annotations

import asyncio
import re
import socket
import time

import pytest
from tests.reader import Reader
from tests.waiting import until
from tests.web.tapped import DRIVERS, Driver, House, house

from tailrace.dialects.own import OwnDialect, OwnEncoder
from tailrace.errors import UpstreamError
from tailrace.events import Event, TextDelta
from tailrace.web.delivery import Delivery
from tailrace.web.feed import Head, StreamFeed

pytestmark = pytest.mark.usefixtures("no_leaks")
both_drivers = pytest.mark.parametrize("driver", DRIVERS)

HEARTBEAT = b": keep-alive\n"


@both_drivers
async def test_tokens_leave_as_they_come(driver: Driver) -> None:
    """Each piece is at the reader before the next is said, and the stream has its headers and its end."""
    async with house(driver) as server, Reader(server.url) as reader:
        run = await server.begin(reader)
        for word in ("one ", "two ", "three "):
            run.say(word)
            await reader.until(word.encode())
        run.finish()
        answer = await reader.whole()
    assert answer.text == "one two three "
    assert answer.events[-1].data == "[DONE]"
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert ("x-passed" in answer.headers) == (driver == "awaiting")


@both_drivers
async def test_a_connection_serves_again(driver: Driver) -> None:
    """After a stream's end the same connection carries the next request."""
    async with house(driver) as server, Reader(server.url) as reader:
        for turn in range(3):
            run = await server.begin(reader)
            run.say(f"turn {turn}")
            run.finish()
            assert (await reader.whole()).text == f"turn {turn}"


@both_drivers
async def test_every_viewer_has_its_own_cursor(driver: Driver) -> None:
    """Readers that join later, from other places and in other formats, each get all that follows theirs, once."""
    async with house(driver) as server, Reader(server.url) as first, Reader(server.url) as second:
        run = await server.begin(first)
        run.say("a", "b", "c")
        await first.until(b'"c"')
        await server.attach(second, "?after=2")
        async with Reader(server.url) as third:
            await server.attach(third, "?format=token")
            run.say("d")
            run.finish()
            texts = [(await reader.whole()).text for reader in (first, second, third)]
    assert texts == ["abcd", "bcd", "abcd"]
    assert third.answer.events[-1].event == "done"


@both_drivers
async def test_fifty_readers_of_one_stream(driver: Driver) -> None:
    """Fifty readers, some there from the start and some coming in between, all get the whole answer."""
    words = [f"w{n} " for n in range(100)]
    async with house(driver) as server, Reader(server.url) as first:
        run = await server.begin(first)
        run.say(words[0])

        async def read() -> str:
            async with Reader(server.url) as reader:
                await server.attach(reader)
                joined.append(reader)
                return (await reader.whole()).text

        joined: list[Reader] = []
        reading = [asyncio.create_task(read()) for _ in range(25)]
        await until(lambda: len(joined) == 25)
        for number, word in enumerate(words[1:]):
            if number % 4 == 0:
                reading.append(asyncio.create_task(read()))
            run.say(word)
            await asyncio.sleep(0)
        await until(lambda: len(joined) == len(reading) == 50)
        run.finish()
        assert set(await asyncio.gather(*reading)) == {"".join(words)}
        assert (await first.whole()).text == "".join(words)
        await until(lambda: server.viewers == 0)


@both_drivers
async def test_one_that_takes_nothing_is_given_up(driver: Driver) -> None:
    """A reader that takes nothing costs the others nothing, and after `send_s` its connection is over."""
    big = "x" * 65536
    async with house(driver, send_s=0.3, max_answer=1 << 26) as server, Reader(server.url) as quick:
        run = await server.begin(quick, on_disconnect="continue")
        run.say("first")
        async with Reader(server.url, receive_buffer=4096) as stuck:
            await server.attach(stuck)
            stuck.stop_reading()
            for _ in range(160):
                run.say(big)
                await asyncio.sleep(0)
            await quick.until(b"x" * 10_000, times=160 * 6)
            await until(lambda: server.viewers == 1)
            stuck.go_on_reading()
            if driver == "direct":
                await stuck.closed()
            assert not stuck.answer.whole
        run.say("last")
        run.finish()
        assert (await quick.whole()).text == "first" + big * 160 + "last"


@both_drivers
async def test_one_that_reads_a_byte_at_a_time(driver: Driver) -> None:
    """A reader that is slow without end gets everything in order, and nobody waits for it."""
    async with house(driver, heartbeat_s=0.05) as server, Reader(server.url) as quick:
        run = await server.begin(quick)
        run.say("first ")
        link = await open_slow(server)
        try:
            received = bytearray()
            for number in range(40):
                run.say(f"{number} ")
                received += await asyncio.get_running_loop().sock_recv(link, 1)
            run.finish()
            text = (await quick.whole()).text
            assert len(received) == 40
            while b"[DONE]" not in received:
                received += await asyncio.get_running_loop().sock_recv(link, 1)
        finally:
            link.close()
    deltas = re.findall(rb'"delta":"([^"]*)"', bytes(received))
    assert b"".join(deltas).decode() == text == "first " + "".join(f"{number} " for number in range(40))


async def open_slow(server: House) -> socket.socket:
    """A bare socket that has asked for the latest stream."""
    link = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    link.setblocking(False)
    target = f"GET /v1/streams/{server.logs[-1].id} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(link, target.encode())
    return link


@both_drivers
async def test_heartbeats_bridge_a_silence(driver: Driver) -> None:
    """Each `heartbeat_s` of silence brings one comment line, whole frames between them, and never one within one."""
    async with house(driver, heartbeat_s=0.05) as server, Reader(server.url) as reader:
        run = await server.begin(reader)
        for word in ("one", "two"):
            run.say(word)
            beats = reader.answer.body.count(HEARTBEAT)
            await reader.until(HEARTBEAT, times=beats + 2)
        run.finish()
        answer = await reader.whole()
    assert re.fullmatch(rb"(?:: keep-alive\n|(?:[a-z]+: [^\n]+\n)+\n)+", answer.body)
    assert answer.body.count(HEARTBEAT) <= (answer.pieces[-1][0] - answer.pieces[0][0]) / 0.05
    assert answer.text == "onetwo"


@both_drivers
async def test_no_heartbeat_where_tokens_come(driver: Driver) -> None:
    """A stream that is never silent for `heartbeat_s` has no comment in it."""
    async with house(driver, heartbeat_s=10) as server, Reader(server.url) as reader:
        run = await server.begin(reader)
        for number in range(20):
            run.say(f"{number} ")
            server.tailrace.generations.ring.sweep(asyncio.get_running_loop().time() + 9)
        run.finish()
        assert HEARTBEAT not in (await reader.whole()).body


@both_drivers
async def test_the_status_waits_for_the_first_event(driver: Driver) -> None:
    """Nothing is sent before the upstream's first event; a refusal before it is an HTTP error with all its parts."""
    async with house(driver) as server, Reader(server.url) as reader:
        run = await server.begin(reader)
        run.start()
        server.tailrace.generations.ring.sweep(asyncio.get_running_loop().time() + 14)
        assert reader.answer.status == 0
        run.fail(UpstreamError("upstream_refused", "slow down", status=429, retry_after=6.6))
        answer = await reader.whole()
    assert answer.status == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "7"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "slow down",
        "code": "upstream_refused",
        "request_id": answer.headers["x-request-id"],
    }


@both_drivers
async def test_the_status_does_not_wait_for_ever(driver: Driver) -> None:
    """After `status_wait_s` the stream opens with 200 and heartbeats, and a refusal is an event from then on."""
    async with house(driver, status_wait_s=0.1, heartbeat_s=0.05) as server, Reader(server.url) as reader:
        asked_at = time.monotonic()
        run = await server.begin(reader)
        answer = await reader.until(HEARTBEAT, times=3)
        assert answer.status == 200
        assert answer.pieces[0][0] - asked_at >= 0.1
        run.fail(UpstreamError("upstream_refused", "slow down", status=429))
        answer = await reader.whole()
    assert [event.event for event in answer.events] == ["error"]
    assert answer.objects[0]["code"] == "upstream_refused"
    assert b"[DONE]" not in answer.body


@both_drivers
async def test_a_whole_answer_waits_for_the_end(driver: Driver) -> None:
    """A whole answer is one JSON document, sent when it is whole; a failure in the middle is an HTTP error with the
    text so far."""
    async with house(driver, status_wait_s=0.05, heartbeat_s=0.05) as server, Reader(server.url) as reader:
        run = await server.begin(reader, "/v1/chat")
        run.start()
        run.say("Hel", "lo")
        await asyncio.sleep(0.15)
        assert reader.answer.status == 0
        run.finish()
        answer = await reader.whole()
        assert (answer.json()["text"], answer.json()["finish_reason"]) == ("Hello", "stop")
        run = await server.begin(reader, "/v1/chat")
        run.say("Hel")
        run.fail(UpstreamError("upstream_cut", "gone"))
        answer = await reader.whole()
    assert (answer.status, answer.json()["code"], answer.json()["text"]) == (502, "upstream_cut", "Hel")


@both_drivers
@pytest.mark.parametrize("farewell", ["leave", "reset", "half_close"])
@pytest.mark.parametrize("moment", ["before the first token", "in the middle", "a whole answer"])
async def test_leaving_closes_the_upstream(driver: Driver, farewell: str, moment: str) -> None:
    """Who leaves, in any way and at any time, cancels the upstream within 100 ms: the best of three, since all runs
    in one process here."""
    delays = []
    async with house(driver) as server:
        for _ in range(3):
            async with Reader(server.url) as reader:
                run = await server.begin(reader, "/v1/chat" if moment == "a whole answer" else "/v1/chat/stream")
                if moment == "in the middle":
                    run.say("Hi")
                    await reader.until(b"Hi")
                left_at = time.monotonic()
                getattr(reader, farewell)()
                await until(lambda run=run: run.cancelled)  # type: ignore[misc]
                delays.append(time.monotonic() - left_at)
        await until(lambda: server.viewers == 0)
        # The first answer that is counted has its vocabulary loaded, in a thread
        await until(lambda: all(log.terminal for log in server.logs))
        assert {log.terminal.code for log in server.logs if log.terminal} == {"cancelled"}  # type: ignore[union-attr]
    assert min(delays) < 0.1


class BrokenEncoder(OwnEncoder):
    """Fails at one word."""

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if isinstance(event, TextDelta) and event.text == "boom":
            raise ZeroDivisionError
        return self._frame(seq, b"fine")


@both_drivers
async def test_a_viewers_exception_stays_with_it(driver: Driver) -> None:
    """A viewer that fails loses its connection; the answer goes on, and the other viewer gets all of it."""
    broken = OwnDialect("broken", BrokenEncoder)
    async with house(driver) as server, Reader(server.url) as good, Reader(server.url) as bad:

        @server.app.get("/broken")
        async def answer() -> Delivery:
            feed = StreamFeed(server.logs[-1], broken, head=Head(request_id="req_1", refusable=False))
            return Delivery(feed, settings=server.tailrace.settings.stream)

        run = await server.begin(good)
        run.say("one ")
        await bad.ask("GET", "/broken")
        await bad.until(b"fine")
        run.say("boom")
        run.say(" two")
        await bad.closed()
        # The framework's middleware ends a body in order, whatever became of what it stands around.
        assert bad.answer.whole == (driver == "awaiting")
        assert {event.data for event in bad.answer.events} == {"fine"}
        run.finish()
        assert (await good.whole()).text == "one boom two"
