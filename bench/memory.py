"""Memory of a server: the proportional share (PSS) of all its processes; the kernel's socket buffers are not in it."""

import re

from bench.errors import Refused
from bench.family import PROC, find_family

_PSS = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)


def parse_pss_kib(text: str) -> int:
    """The KiB that a process's `smaps_rollup` tells."""
    match = _PSS.search(text)
    if match is None:
        raise ValueError("smaps_rollup has no line for Pss")
    return int(match[1])


def read_kib(root: int) -> int:
    """The KiB that the server whose first process is `root` holds now; raises `Refused` where it is gone."""
    try:
        return sum(parse_pss_kib((PROC / str(pid) / "smaps_rollup").read_text()) for pid in find_family(root))
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Refused("a process of the server ended meanwhile") from error
