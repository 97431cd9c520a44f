"""The processes of a run, each started, awaited and ended by its id: servers, the upstream, a load."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from bench.errors import Refused, StartError
from bench.family import find_family
from bench.load import Ask, Job, Load, Outcome
from bench.peers import Peer, Place
from bench.redis_server import Redis, find_redis, list_flags

_START_S = 30.0
_STOP_S = 40.0
_POLL_S = 0.005
_MARGIN_S = 30.0
_ROOT = Path(__file__).parents[1]


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A running server: its kind, its port, its first process (0: it has none), how long its first 200 took."""

    peer: Peer
    port: int
    pid: int
    started_s: float

    def ask(self, model: str) -> Ask:
        """The request for one answer by the script `model`."""
        return self.peer.ask(model, self.port)


def raise_file_limit() -> None:
    """Let this process and those it starts open as many files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@asynccontextmanager
async def start_upstream() -> AsyncIterator[int]:
    """Run the upstream; gives its port."""
    process = await _start_module("bench.upstream")
    try:
        yield int(await _read_line(process, _START_S))
    finally:
        await _end(process)


@asynccontextmanager
async def start_server(peer: Peer, upstream_port: int) -> AsyncIterator[Server]:
    """Run a server until the block ends; raises `StartError` with its last words where it does not get ready."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        place = Place(folder=folder, port=_find_port(), upstream_port=upstream_port)
        launch = peer.prepare(place)
        if launch is None:
            yield Server(peer=peer, port=upstream_port, pid=0, started_s=0.0)
            return
        words = folder / "output"
        began = time.monotonic()
        with words.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *launch.command,
                env=launch.environment,
                cwd=folder,
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            await _wait_until_ready(process, peer, place.port, words)
            yield Server(peer=peer, port=place.port, pid=process.pid, started_s=time.monotonic() - began)
        finally:
            await _end(process)


@asynccontextmanager
async def start_redis() -> AsyncIterator[Redis]:
    """Run a Redis that keeps what it is given, as one in service does, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as name:
        redis = Redis(port=_find_port())
        process = await asyncio.create_subprocess_exec(
            find_redis(), *list_flags(redis, Path(name)), stdin=DEVNULL, stdout=DEVNULL, start_new_session=True
        )
        try:
            give_up = time.monotonic() + _START_S
            while not await redis.answers():
                if process.returncode is not None or time.monotonic() > give_up:
                    raise StartError("Redis did not start")
                await asyncio.sleep(_POLL_S)
            yield redis
        finally:
            await _end(process)


class LoadProcess:
    """A load in its own process: connected when given, started by `start`, done when `finish` has the outcome."""

    def __init__(self, process: Process, seconds: float) -> None:
        self._process = process
        self._seconds = seconds

    async def connect(self, job: Job) -> None:
        """Give it its job and wait for its connections; raises `Refused` where it gets none."""
        self._write(msgspec.json.encode(job) + b"\n")
        await self._expect("connected")

    def start(self) -> None:
        """Let every viewer ask."""
        self._write(b"\n")

    async def wait_until_open(self) -> None:
        """Wait for every stream's first token; raises `Refused` where the load ended before."""
        await self._expect("open")

    async def finish(self) -> Outcome:
        """Wait for the end; raises `Refused` where an answer was not whole."""
        outcome = msgspec.json.decode(await self._read(), type=Outcome)
        if outcome.flaws:
            raise Refused("; ".join(outcome.flaws))
        return outcome

    async def _expect(self, word: str) -> None:
        line = await self._read()
        if line != word:
            flaws = msgspec.json.decode(line, type=Outcome).flaws
            raise Refused("; ".join(flaws) or f"the load ended before it was {word}")

    async def _read(self) -> str:
        try:
            return await _read_line(self._process, self._seconds)
        except StartError as error:
            raise Refused(f"the load was lost: {error}") from error

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)


@asynccontextmanager
async def start_load(load: Load, ask: Ask) -> AsyncIterator[LoadProcess]:
    """Connect a load; it leaves when the block ends."""
    process = await _start_module("bench.load")
    try:
        started = LoadProcess(process, load.seconds + _MARGIN_S)
        await started.connect(Job(load=load, ask=ask))
        yield started
    finally:
        await _end(process)


async def _start_module(name: str) -> Process:
    # A session of its own: Ctrl-C reaches this process alone, which then ends the others.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", name, cwd=_ROOT, stdin=PIPE, stdout=PIPE, start_new_session=True
    )


async def _read_line(process: Process, seconds: float) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            line = await process.stdout.readline()
    except TimeoutError:
        raise StartError(f"said nothing for {seconds:g} s") from None
    if not line:
        raise StartError("ended without a word")
    return line.decode().strip()


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        for pid in find_family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.wait()


async def _wait_until_ready(process: Process, peer: Peer, port: int, words: Path) -> None:
    give_up = time.monotonic() + _START_S
    while not await _is_ready(port, peer.ready_path):
        if process.returncode is not None:
            raise StartError(f"{peer.name} ended with status {process.returncode}: {_read_last_words(words)}")
        if time.monotonic() > give_up:
            raise StartError(f"{peer.name} was not ready after {_START_S:g} s: {_read_last_words(words)}")
        await asyncio.sleep(_POLL_S)


async def _is_ready(port: int, path: str) -> bool:
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request.encode())
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return line.startswith(b"HTTP/1.1 200")


def _read_last_words(words: Path) -> str:
    lines = words.read_text(errors="replace").strip().split("\n")
    return " / ".join(line.strip() for line in lines[-3:]) or "it said nothing"


def _find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
