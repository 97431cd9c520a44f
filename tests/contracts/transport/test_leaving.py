"""How every transport lets go: a receiver that raises, a task that is cancelled, a transport that is closed."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import pytest
from tests.contracts.transport.conftest import Line
from tests.receiver import Recorder
from tests.upstream import Script, ScriptedUpstream, Step, answer, chunk, chunked_head

from tailrace.errors import UpstreamError

AT_ONCE_S: Final = 0.1
BEGUN: Final = chunked_head() + chunk(b"data")


class Refusing(Recorder):
    """A receiver that raises, at the head or at the first body bytes."""

    def __init__(self, error: Exception, *, at_head: bool) -> None:
        super().__init__()
        self._error = error
        self._at_head = at_head

    def response_started(self, status: int, headers: object) -> None:
        if self._at_head:
            raise self._error

    def body_received(self, data: bytes) -> bool:
        raise self._error


@pytest.mark.parametrize("at_head", [True, False])
async def test_what_the_receiver_raises_comes_out_unchanged(line: Line, at_head: bool) -> None:
    """The receiver's exception is the exchange's, the very same object, and the upstream's connection is closed."""
    error = RuntimeError("no more")
    async with line.upstream([BEGUN, Step.STALL]) as upstream:
        transport = await line.to(upstream.url)
        with pytest.raises(RuntimeError) as caught:
            await transport.exchange("GET", "/", headers={}, body=None, receiver=Refusing(error, at_head=at_head))
        assert caught.value is error
        await upstream.closed_by(1)


@pytest.mark.parametrize("script", [[Step.STALL], [BEGUN, Step.STALL]], ids=["silent", "body"])
async def test_cancelling_closes_the_connection_at_once(line: Line, script: Script) -> None:
    """An endless silence, before the head or in the body, ends for the upstream when the task is cancelled."""
    async with line.upstream(script) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder()
        exchange = asyncio.create_task(transport.exchange("POST", "/", headers={}, body=b"{}", receiver=recorder))
        await upstream.requested(1)
        if len(script) > 1:
            await recorder.holds(b"data")
        cancelled_at = time.monotonic()
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        await upstream.closed_by(1)
        assert upstream.closed[0].by_peer
        assert upstream.closed[0].at - cancelled_at < AT_ONCE_S


async def test_cancelling_while_the_request_is_stuck(line: Line) -> None:
    """A request that the upstream won't read is given up with all that is unsent of it: no socket waits for it."""
    begun, again = asyncio.Event(), asyncio.Event()
    async with line.upstream([], greeting=[begun, Step.DEAFEN, again, Step.LISTEN]) as upstream:
        transport = await line.to(upstream.url)
        exchange = asyncio.create_task(transport.fetch("POST", "/", headers={}, body=bytes(32 << 20)))
        await upstream.receiving()
        begun.set()
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        again.set()
        await upstream.closed_by(1)
        assert not upstream.requests


async def test_cancelling_while_connecting(line: Line) -> None:
    """A connection that is still being made is dropped too."""
    async with ScriptedUpstream([]) as upstream:
        transport = await line.to(f"https://127.0.0.1:{upstream.port}")
        exchange = asyncio.create_task(transport.fetch("GET", "/", headers={}))
        await upstream.connected(1)
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        await upstream.closed_by(1)


async def test_transport_serves_on_after_a_cancel(line: Line) -> None:
    """One exchange that was cancelled takes nothing from those after it."""
    async with line.upstream(
        lambda request: [Step.STALL] if request.target == "/stall" else [answer(b"ok")]
    ) as upstream:
        transport = await line.to(upstream.url)
        stalled = asyncio.create_task(transport.fetch("GET", "/stall", headers={}))
        await upstream.requested(1)
        stalled.cancel()
        assert (await transport.fetch("GET", "/", headers={})).body == b"ok"
        with pytest.raises(asyncio.CancelledError):
            await stalled


@pytest.mark.parametrize("script", [[Step.STALL], [BEGUN, Step.STALL]], ids=["silent", "body"])
async def test_close_aborts_what_is_under_way(line: Line, script: Script) -> None:
    """`close` ends a waiting exchange with `upstream_cut` and closes its connection."""
    async with line.upstream(script) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder()
        exchange = asyncio.create_task(transport.exchange("GET", "/", headers={}, body=None, receiver=recorder))
        await upstream.requested(1)
        if len(script) > 1:
            await recorder.holds(b"data")
        await transport.close()
        with pytest.raises(UpstreamError) as caught:
            await exchange
        assert caught.value.code == "upstream_cut"
        await upstream.closed_by(1)


async def test_close_aborts_what_is_being_made(line: Line) -> None:
    """`close` ends a connection that is still being made too: its exchange is `upstream_cut`, not late."""
    async with ScriptedUpstream([]) as upstream:
        transport = await line.to(f"https://127.0.0.1:{upstream.port}")
        exchange = asyncio.create_task(transport.fetch("GET", "/", headers={}))
        await upstream.puzzled()
        await transport.close()
        with pytest.raises(UpstreamError) as caught:
            await exchange
        assert caught.value.code == "upstream_cut"
        await upstream.closed_by(1)


@pytest.mark.parametrize("then", ["goes on", "has enough", "raises"])
async def test_receiver_may_cancel_its_own_exchange(line: Line, then: str) -> None:
    """A receiver in whose call the exchange is cancelled ends it, whatever the call does after that."""

    class Canceller(Recorder):
        def body_received(self, data: bytes) -> bool:
            exchange.cancel()
            if then == "raises":
                raise RuntimeError("too late")
            return then == "has enough"

    async with line.upstream([BEGUN, chunk(b"")]) as upstream:
        transport = await line.to(upstream.url)
        exchange = asyncio.create_task(transport.exchange("GET", "/", headers={}, body=None, receiver=Canceller()))
        result, *_ = await asyncio.gather(exchange, return_exceptions=True)
        # What is awaited in between decides which of the two comes out; never a third thing.
        assert isinstance(result, asyncio.CancelledError) or (then == "raises" and isinstance(result, RuntimeError))
        await upstream.closed_by(1)


@pytest.mark.parametrize(
    ("line", "rounds"), [("plain", 100), ("tls", 20), ("proxied", 20), ("proxied-tls", 20)], indirect=["line"]
)
async def test_aborted_streams_leave_nothing(line: Line, rounds: int) -> None:
    """Streams left in the middle, a thousand on the plain line, leave no socket and no task (the fixture looks)."""
    async with line.upstream([BEGUN, Step.STALL]) as upstream:
        transport = await line.to(upstream.url)
        for _ in range(rounds):
            recorders = [Recorder() for _ in range(10)]
            exchanges = [
                asyncio.create_task(transport.exchange("GET", "/", headers={}, body=None, receiver=recorder))
                for recorder in recorders
            ]
            await asyncio.gather(*(recorder.holds(b"data") for recorder in recorders))
            for exchange in exchanges:
                exchange.cancel()
            await asyncio.gather(*exchanges, return_exceptions=True)
        await upstream.closed_by(10 * rounds)
