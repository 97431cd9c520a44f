"""`tailrace chat` and `tailrace tail` as a user meets them: real processes, a real server, a real terminal."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cli.conftest import environment
from tests.cli.terminal import terminal
from tests.reader import ask
from tests.server import running_server
from tests.waiting import eventually


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server with the simulated model."""
    async with running_server() as server:
        yield server.url


async def start(folder: Path, url: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start a command that asks this server, with its output piped."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tailrace", *arguments),
        cwd=folder,
        env=environment(folder, {"TAILRACE_URL": url}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(folder: Path, url: str, *arguments: str, piped: str = "") -> tuple[int | None, str, str]:
    """Run it to its end: status, stdout, stderr."""
    process = await start(folder, url, *arguments)
    out, err = await process.communicate(piped.encode())
    return process.returncode, out.decode(), err.decode()


async def whole_text(url: str, message: str, model: str) -> str:
    """What the model says to this, from the API."""
    answer = await ask(url, "POST", "/v1/chat", {"message": message, "model": model})
    text: str = answer.json()["text"]
    return text


async def test_piped_the_answer_is_its_text_and_nothing_else(folder: Path, url: str) -> None:
    """stdout is the model's text to the byte, with one newline at its end; status 0."""
    status, out, err = await run(folder, url, "chat", "Hi", "--model", "simulated/n40-d1")
    assert (status, err) == (0, "")
    assert out.rstrip("\n") == (await whole_text(url, "Hi", "simulated/n40-d1")).rstrip("\n")


async def test_what_is_piped_in_is_asked_after_the_prompt(folder: Path, url: str) -> None:
    """Input alone is the prompt; beside a prompt it follows it."""
    _, out, _ = await run(folder, url, "chat", "--model", "simulated/n40-d0", piped="from a file\n")
    assert "from a file" in out
    _, out, _ = await run(folder, url, "chat", "Sum up:", "--model", "simulated/n60-d0", piped="from a file\n")
    assert "Sum up:" in out
    assert "from a file" in out


async def test_nothing_to_ask_is_refused(folder: Path, url: str) -> None:
    """No prompt and empty input: one line, status 2."""
    status, out, err = await run(folder, url, "chat")
    assert (status, out) == (2, "")
    assert "nothing to ask" in err


async def test_ctrl_c_cancels_and_says_what_was_used(folder: Path, url: str) -> None:
    """SIGINT stops the generation at once, and the exit status is 130."""
    process = await start(folder, url, "chat", "Hi", "--model", "simulated/n1000-d20")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    await process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert "stopped" in err.decode()
    assert "tokens in" in err.decode()
    (stream,) = (await ask(url, "GET", "/v1/streams")).json()["data"]
    assert stream["error"]["code"] == "cancelled"


async def test_a_reader_that_leaves_stops_the_answer_without_a_word(folder: Path, url: str) -> None:
    """As under `| head`: the generation is cancelled, and nothing is printed about it."""
    process = await start(folder, url, "chat", "Hi", "--model", "simulated/n2000-d2")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    await process.stdout.read(20)
    process.stdout._transport.close()  # type: ignore[attr-defined]
    err = await process.stderr.read()
    assert (await process.wait(), err.decode()) == (1, "")

    async def stream() -> str:
        (only,) = (await ask(url, "GET", "/v1/streams")).json()["data"]
        status: str = only["status"]
        return status

    await eventually(stream, lambda status: status == "aborted")


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("no/such", "tailrace: there is no model 'no/such'"),
        ("simulated/n20-d0-x10", "tailrace: the answer is not whole: "),
        ("simulated/e529", "tailrace: the answer is not whole: "),
    ],
)
async def test_what_went_wrong_is_one_line_and_status_1(folder: Path, url: str, model: str, complaint: str) -> None:
    """A refusal and an answer that fails, before or after its first token, are told on stderr."""
    status, _, err = await run(folder, url, "chat", "Hi", "--model", model)
    assert status == 1
    assert err.startswith(complaint) or complaint.endswith("whole: ")
    assert err.count("\n") == 1


async def test_a_server_that_is_not_there_is_told_with_what_to_do(folder: Path) -> None:
    """The line names the address, the command that starts a server, and the flag."""
    status, _, err = await run(folder, "http://127.0.0.1:9", "chat", "Hi")
    assert status == 1
    for hint in ("http://127.0.0.1:9 does not answer", "tailrace serve", "--url"):
        assert hint in err


async def test_a_wrong_key_is_told_with_what_to_do(folder: Path) -> None:
    """401 names the flag and the variable."""
    admin = "tr_admin_" + "a" * 43
    async with running_server(env={"TAILRACE_ADMIN_KEY": admin}) as server:
        status, _, err = await run(folder, server.url, "chat", "Hi", "--key", "tr_no_such")
        assert (status, "--key" in err, "TAILRACE_KEY" in err) == (1, True, True)
        status, out, _ = await run(folder, server.url, "chat", "Hi", "--key", admin, "--model", "simulated/n40-d0")
        assert (status, "Hi" in out) == (0, True)


async def test_a_session_goes_on(folder: Path, url: str) -> None:
    """Two runs with one `--session` make one conversation on the server."""
    for question in ("one", "two"):
        await run(folder, url, "chat", question, "--session", "talk", "--model", "simulated/n4-d0")
    messages = (await ask(url, "GET", "/v1/sessions/talk")).json()["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant"]


async def test_on_a_terminal_markdown_is_set_and_the_figures_follow(folder: Path, url: str) -> None:
    """Headings lose their marks, code keeps its text, and one line tells tokens and speed."""
    arguments = ("chat", "Hi", "--model", "simulated/n120-d2-r5")
    async with terminal(folder, *arguments, environ={"TAILRACE_URL": url}) as shown:
        assert await shown.ended() == 0
        await shown.shows("tokens/s")
    assert "## " not in shown.text
    assert "print(" in shown.text
    assert "first after" in shown.text


async def test_a_talk_on_a_terminal(folder: Path, url: str) -> None:
    """Questions are answered in one conversation, Ctrl-C stops an answer and not the talk, Ctrl-D ends it."""
    arguments = ("chat", "--model", "simulated/n100-d10", "--session", "talk")
    async with terminal(folder, *arguments, environ={"TAILRACE_URL": url}) as shown:
        await shown.shows("> ")
        shown.type("first question\n")
        await shown.shows("You asked")
        shown.type("\x03")
        await shown.shows("stopped")
        shown.type("second question\n")
        await shown.shows("tokens/s")
        shown.type("\x04")
        assert await shown.ended() == 0
    messages = (await ask(url, "GET", "/v1/sessions/talk")).json()["messages"]
    assert [message["content"] for message in messages if message["role"] == "user"] == [
        "first question",
        "second question",
    ]


async def test_tail_reads_beside_others_and_leaving_it_stops_nothing(folder: Path, url: str) -> None:
    """The whole text of a stream that another client asked for; an interrupted tail leaves it running."""
    chat = await start(folder, url, "chat", "Hi", "--model", "simulated/n150-d10")
    assert chat.stdin is not None
    assert chat.stdout is not None
    chat.stdin.close()
    first = await chat.stdout.read(20)
    (stream,) = (await ask(url, "GET", "/v1/streams")).json()["data"]
    leaving = await start(folder, url, "tail", stream["id"])
    assert leaving.stdout is not None
    await leaving.stdout.read(20)
    leaving.send_signal(signal.SIGINT)
    await leaving.communicate()
    assert leaving.returncode == 130
    status, out, err = await run(folder, url, "tail", stream["id"])
    rest, _ = await chat.communicate()
    assert (status, err, out) == (0, "", (first + rest).decode())
    assert chat.returncode == 0


async def test_tail_of_a_stream_that_is_not_there(folder: Path, url: str) -> None:
    """404 in one line, status 1."""
    status, out, err = await run(folder, url, "tail", "gen_" + "0" * 24)
    assert (status, out) == (1, "")
    assert "there is no stream" in err
