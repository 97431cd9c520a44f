"""The bench at work: real servers, real loads, what they refuse, and what is left when they are done."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from bench import wire
from bench.cli import main
from bench.errors import Refused, StartError
from bench.family import find_family
from bench.figures import Figure
from bench.load import Ask, Load
from bench.measures import Row
from bench.peers import Direct, Launch, Nginx, Peer, Place, Tailrace
from bench.processes import start_load, start_server
from bench.rounds import Rounds
from bench.script import Script
from bench.stand import Stand, apply_load

FIGURE = Figure(name="paced", title="paced, CPU a token", unit="µs")


class TestCommandLine:
    """Wrong arguments are one clear line and status 2."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--rows", "pace"], "there is no row 'pace': paced, burst,"),
            (["--peers", "apache"], "there is no peer 'apache': nginx, tailrace, direct are"),
            (["--pairs", "0"], "--pairs 0: from 1 to 99"),
            (["--publish", "nothing.json"], "nothing.json holds no results"),
        ],
    )
    def test_says_what_is_wrong(self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The line says what is wrong and what there is."""
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


@dataclass(frozen=True, kw_only=True)
class ScriptedRow(Row):
    """A row whose samples are made up: `refuse` names the peer and the turn that are refused."""

    refuse: tuple[str, int]
    taken: dict[str, int]

    async def warm_up(self, stand: Stand, peer: Peer) -> None:
        self.taken[peer.name] = 0

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        self.taken[peer.name] += 1
        if (peer.name, self.taken[peer.name]) == self.refuse:
            raise Refused("token 3 where 2 was due")
        return {"paced": 1.0}


class TestRounds:
    """A refusal takes a peer's figures away, all of them, and the floor's takes everyone's."""

    async def test_refused_peer_has_no_samples(self) -> None:
        """One bad answer in round 2 costs the peer its round 1 too; nginx goes on."""
        row = ScriptedRow(name="paced", figures=(FIGURE,), refuse=("tailrace", 2), taken={})
        result = await Rounds(Stand(), row, [Nginx(), Tailrace(), Direct()], 3).run()
        assert result.samples == {"nginx": [{"paced": 1.0}] * 3, "tailrace": []}
        assert result.refused == {"tailrace": "token 3 where 2 was due"}

    async def test_nothing_is_measured_without_the_floor(self) -> None:
        """Where nginx's answers are not whole, nobody is measured any further."""
        row = ScriptedRow(name="paced", figures=(FIGURE,), refuse=("nginx", 1), taken={})
        result = await Rounds(Stand(), row, [Nginx(), Tailrace()], 3).run()
        assert result.refused == {"nginx": "token 3 where 2 was due"}
        assert row.taken == {"nginx": 1, "tailrace": 0}


Answer = Callable[[asyncio.StreamWriter], None]


@asynccontextmanager
async def serve_answer(answer: Answer) -> AsyncIterator[int]:
    """A server that answers each request on a connection with the same bytes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await reader.readline()) != b"":
            if head == b"\r\n":
                await reader.readexactly(2)
                answer(writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def find_load_flaw(answer: Answer, load: Load) -> str:
    """What a real load says of a server that answers so."""
    async with (
        serve_answer(answer) as port,
        start_load(load, Ask(port=port, path="/", body=b"{}")) as process,
    ):
        process.start()
        with pytest.raises(Refused) as caught:
            await process.finish()
    return str(caught.value)


class TestLoad:
    """A load over real sockets sees what a server did wrong."""

    async def test_direct_load_is_whole(self) -> None:
        """All answers of the upstream arrive whole, burst and paced, and tokens are timed."""
        async with Stand() as stand:
            server = await stand.find_server(Direct())
            burst = await apply_load(server, Load(model="burst-n300", streams=4, answers=3, seconds=30))
            paced = await apply_load(server, Load(model="paced-n10-d2-k2", streams=4, seconds=30, timed=True))
        assert (burst.outcome.answers, burst.outcome.tokens) == (12, 3600)
        assert paced.outcome.tokens == 40
        assert paced.outcome.delay_p50_ms is not None
        assert 0 <= paced.outcome.delay_p50_ms < 1000

    async def test_wrong_order_is_refused(self) -> None:
        """A server that swaps two tokens gets no figure."""
        frames = wire.burst_frames(Script(tokens=3))
        swapped = b"".join([frames[0], frames[2], frames[1], *frames[3:]])
        flaw = await find_load_flaw(lambda writer: writer.write(swapped), Load(model="n3", streams=1, seconds=30))
        assert flaw == "token 2 where 1 was due"

    async def test_cut_answer_is_refused(self) -> None:
        """A server that cuts the connection in mid-answer gets no figure."""

        def cut(writer: asyncio.StreamWriter) -> None:
            writer.write(b"".join(wire.burst_frames(Script(tokens=3))[:3]))
            writer.close()

        flaw = await find_load_flaw(cut, Load(model="n3", streams=1, seconds=30))
        assert flaw == "the connection was cut"

    async def test_absent_server_is_refused(self) -> None:
        """Where nobody listens there is no figure, and the run goes on."""
        async with serve_answer(lambda _: None) as port:
            ask = Ask(port=port, path="/", body=b"{}")
        with pytest.raises(Refused, match=r"no connection: .*refused"):
            async with start_load(Load(model="n1", streams=1, seconds=30), ask):
                pass

    async def test_refused_request_is_named(self) -> None:
        """A status other than 200 is a flaw."""
        answer = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
        flaw = await find_load_flaw(lambda writer: writer.write(answer), Load(model="n1", streams=1, seconds=30))
        assert flaw == "status 503"

    async def test_silent_server_is_given_up(self) -> None:
        """A server that never answers doesn't hold the run up."""
        flaw = await find_load_flaw(lambda _: None, Load(model="n1", streams=2, seconds=0.2))
        assert flaw == "not over after 0.2 s: 0 of 2 answers were whole"

    async def test_streams_that_end_early_were_not_open(self) -> None:
        """Where streams end before all are open there is no figure for open streams."""
        load = Load(model="n1", streams=3, spread_ms=1500, hold=True, seconds=30)
        async with Stand() as stand:
            server = await stand.find_server(Direct())
            async with start_load(load, server.ask("n1")) as process:
                process.start()
                await process.wait_until_open()
                with pytest.raises(Refused, match="ended before all streams were open"):
                    await process.finish()


class Broken(Direct):
    """A server that ends at its start."""

    name = "broken"

    def prepare(self, place: Place) -> Launch | None:
        return Launch(command=[sys.executable, "-c", "raise SystemExit('no such upstream')"], environment=os.environ)


class TestServers:
    """Servers are real processes, ready when used, gone when done."""

    async def test_start_failure_carries_last_words(self) -> None:
        """A server that doesn't start is named, with what it said."""
        with pytest.raises(StartError, match="broken ended with status 1: no such upstream"):
            async with start_server(Broken(), 1):
                pass

    async def test_nginx_is_measured_and_ended(self) -> None:
        """nginx, its worker too, spends time on a load that is whole, and is gone afterwards."""
        async with Stand() as stand:
            server = await stand.find_server(Nginx())
            family = find_family(server.pid)
            reading = await apply_load(server, Load(model="burst-n200", streams=4, answers=2, seconds=30))
        assert reading.outcome.tokens == 1600
        assert reading.cpu_ns > 0
        assert len(family) == 2
        assert find_family(server.pid) == {server.pid}  # no descendant is left
        with pytest.raises(ProcessLookupError):
            os.kill(server.pid, 0)
