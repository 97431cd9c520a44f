"""A process and all that descend from it: a server as the kernel sees it."""

from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def parse_parent(text: str) -> int:
    """The parent's id in a process's `stat`; its second field, the name, may hold blanks and brackets."""
    return int(text.rpartition(")")[2].split()[1])


def find_family(root: int) -> set[int]:
    """The process `root` and all that descend from it."""
    family = {root}
    parents = _read_parents()
    while grown := {pid for pid, parent in parents.items() if parent in family and pid not in family}:
        family |= grown
    return family


def _read_parents() -> dict[int, int]:
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                parents[int(entry.name)] = parse_parent((entry / "stat").read_text())
    return parents
