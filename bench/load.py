"""The load: many viewers at once, each on a connection kept alive, every answer checked.

Run as `python -m bench.load`. It speaks lines: it reads a `Job` in JSON, connects, prints `connected`, waits for a
line, and starts. A job with `hold` prints `open` once every stream has its first token. It gives up after the job's
`seconds`; the last line it prints is the `Outcome` in JSON, and then it waits for a line, or the end, to leave.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import cast

import httptools
import msgspec
import uvloop

from bench import wire
from bench.figures import percentile
from bench.script import parse_script
from bench.tokens import AnswerCheck

_MOST_FLAWS = 5


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request that a server answers with a stream, and the bytes on which a whole one ends.

    Behind `deltas_end`, where a format has such a mark, the answer is told once more and its tokens don't count.
    With `targets` it is a GET of these instead, each stream of the next one in turn.
    """

    port: int
    path: str
    body: bytes
    done: bytes = b"data: [DONE]"
    deltas_end: bytes = b""
    targets: tuple[str, ...] = ()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: `answers` one after another, by the script `model`, on each of `streams` connections.

    Starts are spread over `spread_ms`. With `timed` each token's age is recorded, if it was written after it was asked
    for. With `hold` all streams must be open at once before the first one ends. After `seconds` the load gives up.
    """

    model: str
    streams: int
    answers: int = 1
    spread_ms: int = 0
    seconds: float = 120
    timed: bool = False
    hold: bool = False

    @property
    def requests(self) -> int:
        """How many answers are asked for in all."""
        return self.streams * self.answers

    @property
    def tokens(self) -> int:
        """How many tokens those have."""
        return self.requests * parse_script(self.model).tokens


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A load, and where to."""

    load: Load
    ask: Ask


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a load saw: whole answers and tokens in them, and `flaws`, the first few, where one was not whole.

    `seconds` is its duration, `cpu_seconds` what the load itself spent; delays are in milliseconds, if timed.
    """

    answers: int
    tokens: int
    seconds: float
    cpu_seconds: float
    flaws: list[str]
    delay_p50_ms: float | None = None
    delay_p99_ms: float | None = None


class _Run:
    """All viewers of one job, what they have seen so far, and when they are done."""

    def __init__(self, job: Job) -> None:
        self.load = job.load
        self.ask = job.ask
        self.expected = parse_script(job.load.model).tokens
        self.requests = _write_requests(job.ask)
        self.whole = 0
        self.flaws: list[str] = []
        self.delays: list[int] = []
        self.over = asyncio.Event()
        self._opened = 0
        self._left = job.load.streams

    def note_opened(self) -> None:
        """A stream has its first token."""
        self._opened += 1
        if self.load.hold and self._opened == self.load.streams:
            print("open", flush=True)

    def note_answer(self, check: AnswerCheck) -> None:
        """An answer has ended as HTTP says an answer ends."""
        flaw = check.flaw_at_end()
        if flaw is None and self.load.hold and self._opened < self.load.streams:
            flaw = "ended before all streams were open"
        if flaw is not None:
            self.note_flaw(flaw)
            return
        self.whole += 1
        self.delays += check.delays

    def note_flaw(self, flaw: str) -> None:
        """An answer is not whole; the load goes on to its end, since others share the server."""
        if len(self.flaws) < _MOST_FLAWS:
            self.flaws.append(flaw)

    def note_left(self) -> None:
        """A viewer asks for nothing more."""
        self._left -= 1
        if self._left == 0:
            self.over.set()


class _Viewer(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, run: _Run, turn: int) -> None:
        self._run = run
        self._request = run.requests[turn % len(run.requests)]
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._answers_left = run.load.answers
        self._check: AnswerCheck | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        """Ask for the next answer."""
        load = self._run.load
        self._answers_left -= 1
        since = wire.stamp() if load.timed else None
        asked = self._run.ask
        self._check = AnswerCheck(
            tokens=self._run.expected, done=asked.done, deltas_end=asked.deltas_end, timed_since=since
        )
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._leave(f"not HTTP: {error}")
        else:
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._check is not None or self._answers_left:
            self._leave("the connection was cut" if exc is None else f"the connection was cut: {exc}")

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._look()
        check, self._check = self._check, None
        if check is None:
            self._leave("an answer that nobody asked for")
            return
        status = self._parser.get_status_code()
        if status == 200:
            self._run.note_answer(check)
        else:
            self._run.note_flaw(f"status {status}")
        self._go_on()

    def _look(self) -> None:
        if self._check is None or not self._pieces:
            return
        unseen = not self._check.seen
        self._check.feed(b"".join(self._pieces), wire.stamp())
        self._pieces.clear()
        if unseen and self._check.seen:
            self._run.note_opened()

    def _go_on(self) -> None:
        if self._answers_left:
            self.ask()
        else:
            self._run.note_left()

    def _leave(self, flaw: str) -> None:
        self._run.note_flaw(flaw)
        self._run.note_left()
        self._check = None
        self._answers_left = 0
        self.transport.abort()


def _write_requests(ask: Ask) -> list[bytes]:
    head = f"host: 127.0.0.1:{ask.port}\r\naccept: text/event-stream\r\n"
    if ask.targets:
        return [f"GET {target} HTTP/1.1\r\n{head}\r\n".encode() for target in ask.targets]
    sent = f"content-type: application/json\r\ncontent-length: {len(ask.body)}\r\n\r\n"
    return [f"POST {ask.path} HTTP/1.1\r\n{head}{sent}".encode() + ask.body]


async def _connect(run: _Run) -> list[_Viewer]:
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(lambda turn=turn: _Viewer(run, turn), "127.0.0.1", run.ask.port))[1]  # type: ignore[misc]
        for turn in range(run.load.streams)
    ]


def _start(viewers: list[_Viewer], spread_ms: int) -> Iterator[asyncio.TimerHandle]:
    loop = asyncio.get_running_loop()
    for turn, viewer in enumerate(viewers):
        yield loop.call_later(turn * spread_ms / 1000 / len(viewers), viewer.ask)


async def _wait(run: _Run) -> None:
    try:
        async with asyncio.timeout(run.load.seconds):
            await run.over.wait()
    except TimeoutError:
        run.note_flaw(f"not over after {run.load.seconds:g} s: {run.whole} of {run.load.requests} answers were whole")


async def _measure(run: _Run, viewers: list[_Viewer]) -> Outcome:
    started, cpu_started = time.monotonic(), time.process_time()
    starts = list(_start(viewers, run.load.spread_ms))
    await _wait(run)
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
    for start in starts:
        start.cancel()
    return _sum_up(run, seconds, cpu_seconds)


async def watch(job: Job) -> None:
    """Do one job; its connections stay open until standard input says more, so that closing them isn't measured."""
    run = _Run(job)
    try:
        viewers = await _connect(run)
    except OSError as error:
        run.note_flaw(f"no connection: {error}")
        print(msgspec.json.encode(_sum_up(run, 0, 0)).decode(), flush=True)
        return
    print("connected", flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        return
    outcome = await _measure(run, viewers)
    print(msgspec.json.encode(outcome).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for viewer in viewers:
        viewer.transport.abort()


def _sum_up(run: _Run, seconds: float, cpu_seconds: float) -> Outcome:
    if not run.flaws and run.whole != run.load.requests:
        run.note_flaw(f"{run.whole} of {run.load.requests} answers were whole")
    delays = sorted(run.delays)
    return Outcome(
        answers=run.whole,
        tokens=run.whole * run.expected,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        flaws=run.flaws,
        delay_p50_ms=percentile(delays, 50) / 1000 if delays else None,
        delay_p99_ms=percentile(delays, 99) / 1000 if delays else None,
    )


def main() -> None:
    """Do the job on standard input."""
    job = msgspec.json.decode(sys.stdin.readline(), type=Job)
    uvloop.run(watch(job))


if __name__ == "__main__":
    main()
