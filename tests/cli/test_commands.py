"""The command line as a user meets it: real processes, their output and their exit status."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Final

import pytest
from tests.cli.conftest import DEADLINE_S, Command, environment, tailrace

from tailrace.cli.serve import is_loopback

CANARY: Final = "canary-4f1d"


def test_version(folder: Path) -> None:
    """`--version` prints the name and the version."""
    ran = tailrace(folder, "--version")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(r"tailrace \d+\.\d+\.\d+\S*\n", ran.stdout)


def test_no_command_shows_the_help(folder: Path) -> None:
    """Without a command the user sees what there is."""
    ran = tailrace(folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "serve" in ran.stdout
    assert "doctor" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        (["serve", "--prot", "1"], {}, "tailrace: No such option: --prot"),
        (["serve", "--port"], {}, "tailrace: Option '--port' requires an argument."),
        (["serve", "more"], {}, "tailrace: Got unexpected extra argument"),
        (["sevre"], {}, "tailrace: No such command 'sevre'. Did you mean 'serve'?"),
        (["\x1b[31m\nforged"], {}, r"tailrace: No such command '\x1b[31m"),
        (["serve", "--port", "x"], {}, "tailrace: --port: must be a whole number from 0 to 65535, not 'x'"),
        (["serve"], {"TAILRACE_PROT": "1"}, "tailrace: TAILRACE_PROT: unknown variable; did you mean TAILRACE_PORT?"),
        (["doctor"], {"TAILRACE_PORT": "x"}, "tailrace: TAILRACE_PORT: must be a whole number"),
        (["doctor"], {"TAILRACE_DATA_DIR": "/\x1b[2J"}, "tailrace: TAILRACE_DATA_DIR: must be a text in one line"),
        (["doctor", "--config", "none.toml"], {}, "tailrace: --config: must be the path of a file that exists"),
        (
            ["serve", "--host", "0.0.0.0"],
            {},
            "tailrace: --host: 0.0.0.0 can be reached from other machines, and",
        ),
        (["serve"], {"TAILRACE_HOST": "::"}, "tailrace: TAILRACE_HOST: :: can be reached from other machines"),
        (["serve", "--workers", "2"], {}, "tailrace: --workers: several workers share their streams through Redis"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    command: Command, arguments: list[str], environ: dict[str, str], expected: str
) -> None:
    """What a user got wrong is told in one line on stderr, without a panel or a traceback."""
    status, out, err = command(*arguments, environ=environ)
    assert (status, out) == (2, "")
    assert err.startswith(expected)
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_the_refusal_of_an_open_address_names_the_key(folder: Path) -> None:
    """Who wants to be reached from outside is told which variable it takes, and the process ends with status 2."""
    ran = tailrace(folder, "serve", "--host", "0.0.0.0")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert "TAILRACE_ADMIN_KEY" in ran.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    """Every address of the machine itself is open mode's."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example", "example.com"])
def test_anything_else_is_no_loopback(host: str) -> None:
    """A name is not trusted to be the machine itself."""
    assert not is_loopback(host)


def test_doctor_shows_settings_sources_and_no_secret(folder: Path) -> None:
    """The doctor tells versions, paths, every setting and where it came from; secrets are masked."""
    (folder / "tailrace.toml").write_text("[stream]\nidle_s = 5\n", "utf-8")
    (folder / ".env").write_text(f"OPENAI_API_KEY={CANARY}\n", "utf-8")
    ran = tailrace(folder, "doctor", environ={"TAILRACE_DATA_DIR": "/" + "d" * 200})
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert "stream.idle_s = 5  (tailrace.toml: [stream] idle_s)" in lines
    assert "providers.openai.api_key = ***  (.env: OPENAI_API_KEY)" in lines
    assert f"data_dir = /{'d' * 200}  (TAILRACE_DATA_DIR)" in lines
    assert any(line.startswith("model ") and line.endswith("openai/gpt-4o-mini") for line in lines)
    assert CANARY not in ran.stdout


def test_serve_answers_and_stops(folder: Path) -> None:
    """`serve` says in one line where it is and with which model, answers there, and ends with 0 when told to stop."""
    with subprocess.Popen(
        [sys.executable, "-m", "tailrace", "serve", "--port", "0"],
        cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"tailrace \S+ at (http://127\.0\.0\.1:\d+), model simulated\n", line)
            assert found, line + process.stderr.read()
            with urllib.request.urlopen(f"{found[1]}/health", timeout=DEADLINE_S) as answer:
                assert json.load(answer) == {"status": "ok"}
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
