"""The command line: choose rows, run them, keep the results, print the table."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.measures import Row
from bench.pages import publish
from bench.peers import PEERS, Peer
from bench.plot import write_plot
from bench.processes import raise_file_limit
from bench.results import FLOOR, LEAST_PAIRS, Results, describe_machine, read_results, tell_time, write_results
from bench.rounds import Rounds
from bench.rows import list_rows
from bench.stand import Stand
from bench.table import write_table

_ROOT = Path(__file__).parents[1]
_RESULTS = _ROOT / "bench" / "results"
_QUICK_PAIRS = 2
_MOST_PAIRS = 99


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status: 1 where a figure was refused, 2 where nothing could be measured."""
    parser = _build_parser()
    options = parser.parse_args(arguments)
    try:
        if options.publish is not None:
            publish(read_results(options.publish), _ROOT / "docs")
            return 0
        return _measure(options, _choose_rows(options), _choose_peers(options))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("bench: stopped; nothing was kept", file=sys.stderr)
        return 130


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ",".join(row.name for row in list_rows(quick=True))
    parser.add_argument("--rows", metavar="A,B", help=f"only these of {names}")
    parser.add_argument("--peers", metavar="A,B", help=f"only these of {','.join(peer.name for peer in PEERS)}")
    parser.add_argument("--pairs", metavar="N", type=int, help=f"rounds of each row (default {LEAST_PAIRS})")
    parser.add_argument(
        "--quick", action="store_true", help="small loads and 2 rounds: for development, proves nothing"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="where to keep the results (quick: nowhere)")
    parser.add_argument("--publish", metavar="FILE", type=Path, help="only put kept results into docs/speed.md")
    return parser


def _choose_rows(options: argparse.Namespace) -> list[Row]:
    rows = {row.name: row for row in list_rows(quick=options.quick)}
    return [rows[name] for name in _choose_names("row", options.rows, list(rows))]


def _choose_peers(options: argparse.Namespace) -> list[Peer]:
    peers = {peer.name: peer for peer in PEERS}
    names = _choose_names("peer", options.peers, list(peers))
    return [peer for name, peer in peers.items() if name in names or name == FLOOR]


def _choose_names(kind: str, wanted: str | None, known: list[str]) -> list[str]:
    if wanted is None:
        return known
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in known:
            raise BenchError(f"there is no {kind} {name!r}: {', '.join(known)} are")
    return [name for name in known if name in names]


def _choose_pairs(options: argparse.Namespace) -> int:
    pairs: int = options.pairs if options.pairs is not None else _QUICK_PAIRS if options.quick else LEAST_PAIRS
    if not 1 <= pairs <= _MOST_PAIRS:
        raise BenchError(f"--pairs {pairs}: from 1 to {_MOST_PAIRS} are possible, from {LEAST_PAIRS} can be quoted")
    return pairs


def _measure(options: argparse.Namespace, rows: list[Row], peers: list[Peer]) -> int:
    results = asyncio.run(_run(rows, peers, pairs=_choose_pairs(options), quick=options.quick))
    folder = options.out or (None if options.quick else _RESULTS)
    if folder is not None:
        _keep(folder, results)
    print(write_table(results), end="")
    return 1 if any(row.refused for row in results.rows) else 0


async def _run(rows: list[Row], peers: list[Peer], *, pairs: int, quick: bool) -> Results:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    raise_file_limit()
    started_at = tell_time()
    versions = {peer.name: version for peer in peers if (version := peer.version()) is not None}
    async with Stand() as stand:
        found = [await Rounds(stand, row, peers, pairs).run() for row in rows]
    return Results(
        started_at=started_at,
        pairs=pairs,
        quick=quick,
        peers=tuple(peer.name for peer in peers),
        machine=describe_machine(versions),
        rows=found,
    )


def _keep(folder: Path, results: Results) -> None:
    stem = results.started_at.replace(":", "").rstrip("Z") + ("-quick" if results.quick else "")
    write_results(folder / f"{stem}.json", results)
    (folder / f"{stem}.md").write_text(write_table(results))
    (folder / f"{stem}.svg").write_text(write_plot(results))
    print(f"kept as {folder / stem}.json, .md and .svg", file=sys.stderr)
