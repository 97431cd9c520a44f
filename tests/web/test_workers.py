"""Several workers of one `tailrace serve`: they share an address, are replaced when they die, and stop together."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import psutil
import pytest
from tests.reader import Reader, ask
from tests.redis_server import RedisServer, redis_server
from tests.server import RunningServer, running_server
from tests.waiting import until

STREAM = {"message": "Hi", "model": "simulated/n300-d10"}


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """What several workers need."""
    async with redis_server() as server:
        yield server


def workers_of(server: RunningServer) -> dict[str, psutil.Process]:
    """The worker processes that live, by their process id's text."""
    children = psutil.Process(server.pid).children()
    return {str(child.pid): child for child in children if "spawn_main" in command_of(child)}


def command_of(process: psutil.Process) -> str:
    """Its command line; none of one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


async def test_workers_share_one_address(redis: RedisServer) -> None:
    """Three workers listen on the one port that is announced once, and each of them takes requests."""
    async with running_server("--workers", "3", env={"TAILRACE_REDIS_URL": redis.url}) as server:
        workers = workers_of(server)
        assert len(workers) == 3
        before = {pid: process.cpu_times().user for pid, process in workers.items()}
        for _ in range(200):
            assert (await ask(server.url, "GET", "/health")).status == 200
        assert all(process.cpu_times().user > before[pid] for pid, process in workers.items())


async def test_a_worker_that_dies_is_replaced(redis: RedisServer) -> None:
    """After `kill -9` of one there are two again, every request is answered, and the log tells of it."""
    async with running_server("--workers", "2", env={"TAILRACE_REDIS_URL": redis.url}) as server:
        first, *_ = before = workers_of(server)
        before[first].kill()
        await until(lambda: len(workers_of(server)) == 2 and first not in workers_of(server))
        for _ in range(50):
            assert (await ask(server.url, "GET", "/health")).status == 200
        assert "worker_died" in {line.get("event") for line in server.logs()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_all_drain(redis: RedisServer, number: signal.Signals) -> None:
    """One signal to the parent: a running stream ends whole, no worker is left, the exit status is 0."""
    async with running_server("--workers", "2", env={"TAILRACE_REDIS_URL": redis.url}) as server:
        workers = workers_of(server)
        async with Reader(server.url) as reader:
            await reader.ask("POST", "/v1/chat/stream", STREAM)
            await reader.until(b"delta")
            server.signal(number)
            answer = await reader.whole()
        assert b"[DONE]" in answer.body
        assert await server.ended() == 0
        assert not any(process.is_running() for process in workers.values())


async def test_workers_do_not_outlive_their_parent(redis: RedisServer) -> None:
    """`kill -9` of the parent alone: the workers stop by themselves."""
    async with running_server("--workers", "2", env={"TAILRACE_REDIS_URL": redis.url}) as server:
        workers = workers_of(server)
        server.signal(signal.SIGKILL)
        await server.ended()
        await until(lambda: not any(process.is_running() for process in workers.values()))


async def test_a_refusal_of_the_workers_is_one_line_and_status_2(redis: RedisServer) -> None:
    """What each worker refuses at its start is told once, by the parent."""
    async with running_server("--workers", "2", env={"TAILRACE_REDIS_URL": redis.url}) as server:
        port = server.url.rpartition(":")[2]
        other = {"TAILRACE_REDIS_URL": redis.url, "TAILRACE_DATA_DIR": "/dev/null/folder"}
        with pytest.raises(AssertionError) as raised:
            async with running_server("--workers", "2", "--port", port, env=other):
                pass
    assert str(raised.value).count("tailrace: ") == 1
