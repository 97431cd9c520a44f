"""What every test may ask for."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import stat
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci", max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell: what a test starts is to hear Ctrl-C all the same
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SETTLE_S: Final = 2.0
"""How long what a test closed may take to be gone: a connection's last callbacks, a thread's last step."""


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test's servers keep their ledger in a folder of its own, not in the user's."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))


@pytest.fixture
async def no_leaks() -> AsyncIterator[None]:
    """Fails the test that leaves a task or a file descriptor behind.

    Ask for it with `@pytest.mark.usefixtures("no_leaks")`, so that it is set up before the test's other fixtures and
    looks when they are gone.
    """
    await _warm_up()
    tasks, descriptors = asyncio.all_tasks(), _open_descriptors()
    yield
    deadline = asyncio.get_running_loop().time() + _SETTLE_S
    while left := _left_tasks(tasks) + sorted((_open_descriptors() - descriptors).elements()):
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail("left behind: " + ", ".join(left))
        gc.collect()
        await asyncio.sleep(0.01)


async def _warm_up() -> None:
    """Let the event loop open what it keeps from its first listening socket on: for uvloop a spare descriptor."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    server.close()
    await server.wait_closed()


def _left_tasks(before: set[asyncio.Task[Any]]) -> list[str]:
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    return [repr(task) for task in left]


def _open_descriptors() -> Counter[str]:
    """How many descriptors are open of each kind: a file's path, or "socket", "pipe" and the like.

    Kinds, since an event loop may put a new socket in its old one's place each time that it is run.
    """
    kinds: Counter[str] = Counter()
    for number in os.listdir("/dev/fd"):
        try:
            kinds[_kind(int(number))] += 1
        except OSError:
            continue  # The listing's own, closed by now.
    return kinds


def _kind(descriptor: int) -> str:
    try:
        return os.readlink(f"/dev/fd/{descriptor}").split(":[")[0]
    except OSError:  # Only Linux has names for them.
        return f"kind {stat.S_IFMT(os.fstat(descriptor).st_mode):o}"
