"""A run as a Markdown table: each figure's median, its ratio to nginx with the range of the rounds, and the goal."""

from __future__ import annotations

from bench.figures import Figure, Goal, Spread
from bench.results import FLOOR, SUBJECT, Results, RowResult

_NOT_TO_BE_QUOTED = "**Not to be quoted**: a run too small to prove anything."


def write_table(results: Results) -> str:
    """The whole table, with a line on what it ran on above it and what was refused below it."""
    peers = _order_peers(results)
    head = ["", *peers, "goal"]
    lines = [_join(head), _join(["---"] * len(head))]
    for row in results.rows:
        lines += [_join(_write_line(row, figure, peers, results.pairs)) for figure in row.figures]
    notes = [] if results.quotable else [_NOT_TO_BE_QUOTED, ""]
    parts = [*notes, _describe(results), "", *lines, *_list_refusals(results)]
    return "\n".join(parts) + "\n"


def judge(row: RowResult, figure: Figure) -> bool | None:
    """Whether tailrace met a figure's goal; None: there is no goal, or no figure to hold against it."""
    if figure.goal is None:
        return None
    found = row.ratio(SUBJECT, figure.name) if figure.goal.of == "times" else row.spread(SUBJECT, figure.name)
    return None if found is None else found.median <= figure.goal.at_most


def write_number(value: float) -> str:
    """A figure to about three digits, never in powers of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _order_peers(results: Results) -> list[str]:
    return [name for name in results.peers if any(name in row.samples for row in results.rows)]


def _describe(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    cores = f"{machine.cores} cores" if machine.cores > 1 else "1 core"
    pairs = f"{results.pairs} interleaved rounds"
    return (
        f"{results.started_at[:10]}, {cores} of {machine.cpu}, Linux {machine.kernel}, "
        f"Python {machine.python}, {versions}; medians of {pairs}."
    )


def _write_line(row: RowResult, figure: Figure, peers: list[str], rounds: int) -> list[str]:
    cells = [_write_cell(row, figure, peer) for peer in peers]
    return [_write_title(row, figure, rounds), *cells, _write_goal(row, figure)]


def _write_title(row: RowResult, figure: Figure, rounds: int) -> str:
    title = f"{figure.title}, {figure.unit}"
    return title if row.rounds == rounds else f"{title} ({row.rounds} rounds)"


def _write_cell(row: RowResult, figure: Figure, peer: str) -> str:
    if peer in row.refused or (FLOOR in row.refused and peer in row.samples):
        return "refused"
    found = row.spread(peer, figure.name)
    if found is None:
        return "-"
    ratio = row.ratio(peer, figure.name) if figure.ratio and peer not in {FLOOR, "direct"} else None
    return write_number(found.median) + (f" = {_write_ratio(ratio)}" if ratio else "")


def _write_ratio(ratio: Spread) -> str:
    return f"**{ratio.median:.2f} x** ({ratio.least:.2f} to {ratio.most:.2f})"


def _write_goal(row: RowResult, figure: Figure) -> str:
    if figure.goal is None:
        return "-"
    met = judge(row, figure)
    verdict = {True: ": met", False: ": **missed**", None: ""}[met]
    return _write_bound(figure.goal, figure.unit) + verdict


def _write_bound(goal: Goal, unit: str) -> str:
    return f"≤ {goal.at_most:g} x {FLOOR}" if goal.of == "times" else f"≤ {goal.at_most:g} {unit}"


def _list_refusals(results: Results) -> list[str]:
    found = [f"- {row.name}, {peer}: {why}" for row in results.rows for peer, why in row.refused.items()]
    return ["", "Refused, since what could be measured was not the whole work:", "", *found] if found else []


def _join(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
