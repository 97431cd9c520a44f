"""CPU time of a server: all its processes and threads, as the kernel's scheduler counts it.

`/proc/<pid>/task/<tid>/schedstat` opens with the nanoseconds that a thread has spent on a CPU, in user mode and in
the kernel. https://docs.kernel.org/scheduler/sched-stats.html
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from bench.errors import Refused
from bench.family import PROC, find_family

_QUIET_NS = 200_000
_POLL_S = 0.02
_MOST_POLLS = 50


def parse_schedstat(text: str) -> int:
    """The nanoseconds on a CPU that one thread's `schedstat` tells."""
    fields = text.split()
    if len(fields) != 3 or not all(field.isdecimal() for field in fields):
        raise ValueError(f"schedstat has three counts, not {text!r}")
    return int(fields[0])


def read_threads(root: int) -> dict[int, int]:
    """The nanoseconds on a CPU so far, for each thread of the server whose first process is `root`.

    One that ends while it is read is missing, which `sum_spent` finds out.
    """
    found: dict[int, int] = {}
    for pid in find_family(root):
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in (PROC / str(pid) / "task").iterdir():
                found[int(task.name)] = parse_schedstat((task / "schedstat").read_text())
    return found


def sum_spent(before: Mapping[int, int], after: Mapping[int, int]) -> int:
    """The nanoseconds spent between two readings; raises `Refused` where a thread took its count to the grave."""
    gone = before.keys() - after.keys()
    if gone:
        raise Refused(f"{len(gone)} of the server's {len(before)} threads ended meanwhile: what they spent is lost")
    return sum(after.values()) - sum(before.values())


async def read_when_quiet(root: int) -> dict[int, int]:
    """Read the threads once they rest, a second at most, so that work done after an answer's end is counted too."""
    before = read_threads(root)
    for _ in range(_MOST_POLLS):
        await asyncio.sleep(_POLL_S)
        now = read_threads(root)
        if sum(now.values()) - sum(before.values()) < _QUIET_NS:
            return now
        before = now
    return before
