"""How `tailrace serve` stops while streams run: nobody is lied to, and the exit status is 0."""

from __future__ import annotations

import signal

import pytest
from tests.reader import Answer, Reader, ask
from tests.server import RunningServer, running_server
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")

LONG = {"message": "Hi", "model": "simulated/n100000-d5"}


async def ready(server: RunningServer) -> Answer:
    """What `/readyz` says, on a connection of its own."""
    return await ask(server.url, "GET", "/readyz")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_running_streams_end_by_themselves(number: signal.Signals) -> None:
    """Told to stop, it is not ready but listens, takes no new stream, lets the running one end whole, and exits 0."""
    async with running_server(config="[stream]\ndrain_s = 20\n") as server, Reader(server.url) as reader:
        assert (await ready(server)).status == 200
        await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": "simulated/n100-d10"})
        await reader.until(b"delta")
        server.signal(number)
        draining = await eventually(lambda: ready(server), lambda answer: answer.status != 200)
        assert (draining.status, draining.json()) == (503, {"status": "draining"})
        assert (await ask(server.url, "GET", "/livez")).status == 200
        refused = await ask(server.url, "POST", "/v1/chat/stream", LONG)
        assert (refused.status, refused.json()["code"]) == (503, "draining")
        state = await ask(server.url, "GET", f"/v1/streams/{reader.answer.headers['x-tailrace-stream']}")
        assert state.json()["status"] == "running"
        whole = await reader.whole()
        assert whole.events[-1].data == "[DONE]"
        assert await server.ended() == 0
        with pytest.raises(ConnectionRefusedError):
            await ready(server)


async def test_the_drain_time_ends_the_others() -> None:
    """A stream that outlives the drain time gets the `draining` error event, in every format; one that waits for its
    status gets 503; then the server exits 0."""
    async with (
        running_server(config="[stream]\ndrain_s = 0.3\n") as server,
        Reader(server.url) as delta,
        Reader(server.url) as token,
        Reader(server.url) as meta,
        Reader(server.url) as waiting,
    ):
        for reader, target in ((delta, "/v1/chat/stream"), (token, "/chat/stream"), (meta, "/chat/stream-meta")):
            await reader.ask("POST", target, LONG)
            await reader.until(b"token")
        await waiting.ask("POST", "/v1/chat/stream", {**LONG, "model": "simulated/f60000"})
        await eventually(lambda: ask(server.url, "GET", "/v1/streams"), lambda seen: len(seen.json()["data"]) == 4)
        server.signal(signal.SIGTERM)
        for reader in (delta, token, meta):
            told = await reader.whole()
            assert told.objects[-1]["code"] == "draining"
            assert b"[DONE]" not in told.body
            assert b"finish_reason" not in told.body
        refused = await waiting.whole()
        assert (refused.status, refused.json()["code"]) == (503, "draining")
        assert await server.ended() == 0
    assert [line for line in server.logs() if line.get("level") == "error" or "raw" in line] == []


async def test_a_reader_that_takes_nothing_holds_no_stop_up() -> None:
    """A connection whose reader sleeps is cut after the flush time; the others got their end before."""
    async with (
        running_server(config="[stream]\ndrain_s = 0.1\n") as server,
        Reader(server.url, receive_buffer=4096) as stuck,
        Reader(server.url) as quick,
    ):
        await stuck.ask("POST", "/v1/chat/stream", {**LONG, "model": "simulated/n400000-d0"})
        await stuck.head()
        stuck.stop_reading()
        await quick.ask("POST", "/v1/chat/stream", LONG)
        await quick.until(b"delta")
        server.signal(signal.SIGTERM)
        assert (await quick.whole()).objects[-1]["code"] == "draining"
        assert await server.ended() == 0


async def test_nothing_running_nothing_waited_for() -> None:
    """Without a stream the server is gone in a moment, whatever the drain time, idle connections or not."""
    async with running_server(config="[stream]\ndrain_s = 100\n") as server, Reader(server.url) as idle:
        await idle.ask("GET", "/health")
        await idle.whole()
        server.signal(signal.SIGTERM)
        assert await server.ended() == 0
