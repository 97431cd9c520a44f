"""The pool: which connection an exchange gets, when one is kept, and what a dead one costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from tests.receiver import Recorder
from tests.upstream import Script, ScriptedUpstream, Step, answer, chunk, chunked_head, in_turn

from tailrace.errors import UpstreamError
from tailrace.providers.transport.connection import DRAIN_S
from tailrace.providers.transport.origin import parse_origin
from tailrace.providers.transport.pool import PooledTransport

pytestmark = pytest.mark.usefixtures("no_leaks")

OK = answer(b"ok")


class Pools:
    """Makes open pools and closes them."""

    def __init__(self) -> None:
        self._made: list[PooledTransport] = []

    async def to(self, upstream: ScriptedUpstream, idle_s: float = 60.0) -> PooledTransport:
        pool = PooledTransport(parse_origin(upstream.url), connect_s=5.0, idle_s=idle_s)
        await pool.open()
        self._made.append(pool)
        return pool

    async def close(self) -> None:
        for pool in self._made:
            await pool.close()


@pytest.fixture
async def pools() -> AsyncIterator[Pools]:
    pools = Pools()
    yield pools
    await pools.close()


async def fetch(pool: PooledTransport) -> bytes:
    return (await pool.fetch("POST", "/", headers={}, body=b"{}")).body


async def connections_of(pool: PooledTransport, upstream: ScriptedUpstream, count: int) -> list[int]:
    """The connections that `count` exchanges, one after the other, were made on."""
    for _ in range(count):
        await fetch(pool)
    return [request.connection for request in upstream.requests]


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"ok"),
        chunked_head() + chunk(b"ok") + chunk(b""),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    ],
    ids=["length", "chunks", "no body", "HTTP/1.0 that keeps alive", "after a 1xx"],
)
async def test_connection_is_kept(pools: Pools, reply: bytes) -> None:
    """An answer whose end its framing shows leaves the connection for the next exchange."""
    async with ScriptedUpstream([reply]) as upstream:
        assert await connections_of(await pools.to(upstream), upstream, 3) == [1, 1, 1]


@pytest.mark.parametrize(
    "script",
    [
        [answer(b"ok", Connection="close")],
        [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
        [b"HTTP/1.1 200 OK\r\n\r\nok", Step.CLOSE],
        [OK + b"stray"],
        [OK + OK],
    ],
    ids=["close", "HTTP/1.0", "until close", "stray bytes", "second answer"],
)
async def test_connection_is_not_kept(pools: Pools, script: Script) -> None:
    """After any other answer the connection is closed, and the next exchange has its own."""
    async with ScriptedUpstream(script) as upstream:
        assert await connections_of(await pools.to(upstream), upstream, 3) == [1, 2, 3]
        await upstream.closed_by(3)


async def test_warmest_connection_is_used_first(pools: Pools) -> None:
    """Of several idle connections the last used serves next, so that those not needed grow old and close."""
    gates = [asyncio.Event() for _ in range(3)]
    scripts: list[Script] = [[gate, OK] for gate in gates]
    async with ScriptedUpstream(in_turn(*scripts, [OK])) as upstream:
        pool = await pools.to(upstream)
        exchanges = [asyncio.create_task(fetch(pool)) for _ in gates]
        await upstream.requested(3)
        for number in (1, 2, 0):
            gates[number].set()
            await asyncio.wait(exchanges, return_when=asyncio.FIRST_COMPLETED)
            exchanges = [exchange for exchange in exchanges if not exchange.done()]
        warmest = upstream.requests[0].connection
        assert (await connections_of(pool, upstream, 2))[3:] == [warmest, warmest]


async def test_idle_connections_close_in_time(pools: Pools) -> None:
    """A connection that nobody used for `idle_s` is closed; one used in between is not."""
    async with ScriptedUpstream([OK]) as upstream:
        pool = await pools.to(upstream, idle_s=0.3)
        await fetch(pool)
        used_at = time.monotonic()
        await upstream.closed_by(1)
        assert 0.25 < upstream.closed[0].at - used_at < 2
        assert upstream.closed[0].by_peer
        assert await connections_of(pool, upstream, 1) == [1, 2]


async def test_connection_that_the_upstream_closed_is_never_used(pools: Pools) -> None:
    """An idle connection that the upstream closes leaves the pool: the next request is sent once, on a new one."""
    async with ScriptedUpstream(in_turn([OK, Step.CLOSE], [OK])) as upstream:
        pool = await pools.to(upstream)
        await fetch(pool)
        await upstream.closed_by(1)
        assert await connections_of(pool, upstream, 1) == [1, 2]


async def test_data_on_an_idle_connection_closes_it(pools: Pools) -> None:
    """Bytes that answer no request make the connection worthless: it is closed and never used again."""
    stray = asyncio.Event()
    async with ScriptedUpstream(in_turn([OK, stray, answer(b"stray")], [OK])) as upstream:
        pool = await pools.to(upstream)
        await fetch(pool)
        stray.set()
        await upstream.closed_by(1)
        assert upstream.closed[0].by_peer
        assert await fetch(pool) == b"ok"
        assert [request.connection for request in upstream.requests] == [1, 2]


@pytest.mark.parametrize("end", [Step.CLOSE, Step.RESET])
async def test_request_lost_with_a_kept_connection_is_sent_again(pools: Pools, end: Step) -> None:
    """A reused connection that ends before any byte of an answer costs nothing: the request goes out once more."""
    async with ScriptedUpstream(in_turn([OK], [end], [answer(b"second")])) as upstream:
        pool = await pools.to(upstream)
        await fetch(pool)
        assert await fetch(pool) == b"second"
        assert [request.connection for request in upstream.requests] == [1, 1, 2]


async def test_request_is_sent_again_only_once(pools: Pools) -> None:
    """The fresh connection's loss is the exchange's failure."""
    async with ScriptedUpstream(in_turn([OK], [Step.CLOSE], [Step.CLOSE], [OK])) as upstream:
        pool = await pools.to(upstream)
        await fetch(pool)
        with pytest.raises(UpstreamError, match="closed the connection"):
            await fetch(pool)
        assert len(upstream.requests) == 3


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", answer(b"ok")[:-1]])
async def test_request_is_not_sent_again_after_a_byte(pools: Pools, begun: bytes) -> None:
    """One byte of an answer says that the upstream got the request: its loss is a failure, never a second request."""
    async with ScriptedUpstream(in_turn([OK], [begun, Step.CLOSE], [OK])) as upstream:
        pool = await pools.to(upstream)
        await fetch(pool)
        with pytest.raises(UpstreamError):
            await fetch(pool)
        assert len(upstream.requests) == 2


async def test_answer_that_ends_soon_frees_its_connection(pools: Pools) -> None:
    """After `True` the connection waits for the rest of the message, and then serves on."""
    rest = asyncio.Event()
    async with ScriptedUpstream(in_turn([chunked_head() + chunk(b"[DONE]"), rest, chunk(b"")], [OK])) as upstream:
        pool = await pools.to(upstream)
        await pool.exchange("GET", "/", headers={}, body=None, receiver=Recorder(enough=b"[DONE]"))
        beside = asyncio.create_task(fetch(pool))
        await upstream.requested(2)
        rest.set()
        await beside
        assert [request.connection for request in upstream.requests] == [1, 2]
        await fetch(pool)
        await fetch(pool)
        assert {request.connection for request in upstream.requests[2:]} <= {1, 2}
        assert upstream.connections == 2


async def test_answer_that_does_not_end_loses_its_connection(pools: Pools) -> None:
    """After `True` an upstream that neither ends its message nor closes is hung up on, within about a second."""
    endless: Script = [chunked_head() + chunk(b"[DONE]"), chunk(b"more"), Step.STALL]
    async with ScriptedUpstream(endless) as upstream:
        pool = await pools.to(upstream)
        recorder = Recorder(enough=b"[DONE]")
        begun = time.monotonic()
        await pool.exchange("GET", "/", headers={}, body=None, receiver=recorder)
        assert time.monotonic() - begun < DRAIN_S / 2
        await upstream.closed_by(1)
        assert DRAIN_S * 0.9 < upstream.closed[0].at - begun < DRAIN_S + 1
        assert len(recorder.pieces) == 1


async def test_answer_before_the_whole_request_closes_the_connection(pools: Pools) -> None:
    """A refusal that comes while the request is still going out is an answer, but leaves no usable connection."""
    begun = asyncio.Event()
    refusal = answer(b"too big", "413 Content Too Large")
    async with ScriptedUpstream([], greeting=[begun, Step.DEAFEN, refusal, Step.STALL]) as upstream:
        pool = await pools.to(upstream)
        exchange = asyncio.create_task(pool.fetch("POST", "/", headers={}, body=bytes(32 << 20)))
        await upstream.receiving()
        begun.set()
        assert (await exchange).status == 413
        again = asyncio.create_task(pool.fetch("POST", "/", headers={}))
        await upstream.connected(2)
        again.cancel()


async def test_cancel_in_the_instant_of_the_end_spares_the_next(pools: Pools) -> None:
    """A task cancelled after its answer ended, but before it ran, doesn't take the connection from its successor."""
    async with ScriptedUpstream([OK]) as upstream:
        pool = await pools.to(upstream)
        followers: list[asyncio.Task[bytes]] = []

        class Last(Recorder):
            def body_received(self, data: bytes) -> bool:
                loop = asyncio.get_running_loop()
                loop.call_soon(lambda: followers.append(loop.create_task(fetch(pool))))
                loop.call_soon(exchange.cancel)
                return False

        exchange = asyncio.create_task(pool.exchange("GET", "/", headers={}, body=None, receiver=Last()))
        await asyncio.gather(exchange, return_exceptions=True)
        await upstream.requested(2)
        assert await followers[0] == b"ok"


async def test_close_hangs_up_on_idle_connections(pools: Pools) -> None:
    """`close` closes the idle ones too, and may be called again."""
    async with ScriptedUpstream([OK]) as upstream:
        pool = await pools.to(upstream)
        await asyncio.gather(*(fetch(pool) for _ in range(5)))
        await pool.close()
        await upstream.closed_by(upstream.connections)
        await pool.close()
        with pytest.raises(UpstreamError, match="was closed"):
            await fetch(pool)
