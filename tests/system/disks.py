"""Disks that can be full: a small one of its own where a test may mount it, and a limit on files anywhere."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_SIZE: Final = 4 << 20


class Disk(ABC):
    """A folder on a disk; what a process writes there fails between `fill` and `free`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def fill(self, pid: int) -> None:
        """Let nothing more be written by this process."""

    @abstractmethod
    def free(self, pid: int) -> None:
        """Let it write again."""


class MountedDisk(Disk):
    """A file system of a few megabytes, filled with ballast."""

    def fill(self, pid: int) -> None:
        with (self.folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(b"x" * 4096):
                pass

    def free(self, pid: int) -> None:
        (self.folder / "ballast").unlink()


class LimitedDisk(Disk):
    """Any file system: the process may write no file."""

    def fill(self, pid: int) -> None:
        _, self._most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, self._most))

    def free(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (self._most, self._most))


@contextmanager
def mounted(folder: Path) -> Iterator[MountedDisk]:
    """Mount one on this folder."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0700", "tailrace-test", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield MountedDisk(folder)
    finally:
        subprocess.run(["umount", folder], check=True)


@cache
def can_mount() -> bool:
    """Whether this user may mount a file system at all: in most places only root."""
    if os.geteuid() != 0:
        return False
    with TemporaryDirectory() as folder, contextlib.suppress(subprocess.CalledProcessError), mounted(Path(folder)):
        return True
    return False
