"""The leak check is itself checked: in a pytest of its own, on tests that leak and on one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ON_EACH_LOOP = """
import asyncio, uvloop

def pytest_asyncio_loop_factories():
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
"""

LEAKY = """
import asyncio, pytest, socket

pytestmark = pytest.mark.usefixtures("no_leaks")
kept = []

async def test_leaves_a_task_and_a_socket():
    kept.append(asyncio.create_task(asyncio.sleep(60), name="forgotten"))
    kept.append(socket.socket())

async def test_closes_a_moment_later():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    asyncio.get_running_loop().call_later(0.05, writer.close)
    server.close()
"""


def test_what_is_left_behind_fails_the_test(pytester: pytest.Pytester) -> None:
    """On each event loop: what stays is named, and what is closed a moment after the test is forgiven."""
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text("utf-8") + ON_EACH_LOOP)
    pytester.makepyfile(LEAKY)
    result = pytester.runpytest_subprocess("--asyncio-mode=auto", "-p", "no:langsmith_plugin")
    result.assert_outcomes(passed=4, errors=2)
    for loop in ("asyncio", "uvloop"):
        result.stdout.fnmatch_lines(
            [f"*ERROR at teardown of *task_and_a_socket[[]{loop}[]]*", "*left behind: *name='forgotten'*, socket"]
        )
