"""What a run found: the samples of every round, kept as JSON, and what the table shows of them."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.errors import ResultsError
from bench.figures import Figure, Spread, ratios, spread

LEAST_PAIRS = 7
FLOOR = "nginx"
SUBJECT = "tailrace"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the run ran on."""

    cpu: str
    cores: int
    kernel: str
    python: str
    versions: dict[str, str]


class RowResult(msgspec.Struct, frozen=True, kw_only=True):
    """A row's samples: for each peer one value of each figure in each round, or why they may not be printed."""

    name: str
    figures: tuple[Figure, ...]
    rounds: int
    samples: dict[str, list[dict[str, float]]]
    refused: dict[str, str] = {}

    def values(self, peer: str, figure: str) -> list[float]:
        """The peer's value of a figure in each round; empty where the peer was not measured, or refused."""
        if peer in self.refused:
            return []
        return [sample[figure] for sample in self.samples.get(peer, [])]

    def spread(self, peer: str, figure: str) -> Spread | None:
        """The peer's figure, over all rounds."""
        values = self.values(peer, figure)
        return spread(values) if values else None

    def ratio(self, peer: str, figure: str) -> Spread | None:
        """The peer's figure as a multiple of nginx's in the same round, over all rounds."""
        values, floor = self.values(peer, figure), self.values(FLOOR, figure)
        return spread(ratios(values, floor)) if values and floor else None


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    started_at: str
    pairs: int
    quick: bool
    peers: tuple[str, ...]
    machine: Machine
    rows: list[RowResult]

    @property
    def quotable(self) -> bool:
        """Whether the run was large enough for its figures to be quoted."""
        return not self.quick and self.pairs >= LEAST_PAIRS


def describe_machine(versions: dict[str, str]) -> Machine:
    """This machine and its software; `versions` are those of the servers."""
    return Machine(
        cpu=_read_cpu(),
        cores=os.cpu_count() or 1,
        kernel=platform.release(),
        python=platform.python_version(),
        versions=versions | {name: version(name) for name in ("tailrace", "uvloop", "uvicorn", "httptools")},
    )


def tell_time() -> str:
    """Now, in UTC, as results carry it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_results(path: Path, results: Results) -> None:
    """Keep a run as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read_results(path: Path) -> Results:
    """A run that was kept; raises `ResultsError` where the file holds none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.MsgspecError) as error:
        raise ResultsError(f"{path} holds no results: {error}") from error


def _read_cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().split("\n"):
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model", "Hardware"}:
            return value.strip()
    return platform.machine()
