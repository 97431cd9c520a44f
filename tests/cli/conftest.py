"""Commands as a user meets them: real processes, or the same in this process where a process shows nothing more."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import pytest
import structlog

from tailrace import cli

DEADLINE_S: Final = 30.0

Command: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working folder."""
    return tmp_path


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Runs a command in this process, in `folder` with nothing of the machine's settings: status, stdout, stderr."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)

    def run(*arguments: str, environ: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(os, "environ", environment(folder, environ))
        status = cli.run(list(arguments))
        return (status, *capfd.readouterr())

    yield run
    structlog.reset_defaults()
    root.handlers = before[0]
    root.setLevel(before[1])


def environment(folder: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The least that a process needs, with nothing of the machine's own settings."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONWARNINGS": "error", **(extra or {})}


def tailrace(
    folder: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m tailrace` in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "tailrace", *arguments],
        cwd=folder, env=environment(folder, environ), capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
