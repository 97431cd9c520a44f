"""A run as a picture: each figure's ratio to nginx as a dot with the range of its rounds, on a logarithmic axis."""

from __future__ import annotations

import math
from html import escape

import msgspec

from bench.figures import Figure, Spread
from bench.results import FLOOR, Results

_LABELS = 430
_WIDTH = 920
_RIGHT = 40
_LINE = 34
_TOP = 64
_COLOURS = ("#0b7285", "#c2410c", "#7048e8", "#2b8a3e", "#a61e4d", "#5f3dc4")
_TICKS = (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1f24}.axis{stroke:#c9d1d9}"
    ".floor{stroke:#1b1f24}.goal{stroke:#5c6670;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{stroke:#3d444d}"
    ".floor{stroke:#e6edf3}.goal{stroke:#9aa4ae}}"
)


class _Mark(msgspec.Struct, frozen=True, kw_only=True):
    figure: Figure
    ratios: dict[str, Spread]


class _Axis(msgspec.Struct, frozen=True, kw_only=True):
    least: float
    most: float

    def place(self, ratio: float) -> float:
        """Where a ratio stands, in pixels from the left."""
        share = math.log(ratio / self.least) / math.log(self.most / self.least)
        return _LABELS + share * (_WIDTH - _LABELS - _RIGHT)


def write_plot(results: Results) -> str:
    """The picture as SVG; a figure that was refused, or means nothing as a ratio, is not in it."""
    marks = _find_marks(results)
    peers = [peer for peer in results.peers if any(peer in mark.ratios for mark in marks)]
    axis = _fit_axis(marks)
    bottom = _TOP + _LINE * len(marks)
    parts = [*_draw_axis(axis, bottom), *_draw_legend(peers)]
    for turn, mark in enumerate(marks):
        parts += _draw_mark(mark, peers, axis, _TOP + _LINE * turn + _LINE / 2)
    title = f"Ratio to {FLOOR}, {results.started_at[:10]}" + ("" if results.quotable else " (not to be quoted)")
    return _frame_picture(title, bottom + 34, parts)


def _find_marks(results: Results) -> list[_Mark]:
    marks = []
    for row in results.rows:
        for figure in row.figures:
            found = {peer: row.ratio(peer, figure.name) for peer in results.peers if peer not in {FLOOR, "direct"}}
            ratios = {peer: ratio for peer, ratio in found.items() if ratio is not None}
            if figure.ratio and ratios:
                marks.append(_Mark(figure=figure, ratios=ratios))
    return marks


def _fit_axis(marks: list[_Mark]) -> _Axis:
    spreads = [ratio for mark in marks for ratio in mark.ratios.values()]
    goals = [mark.figure.goal.at_most for mark in marks if mark.figure.goal is not None]
    least = min([1.0, *(ratio.least for ratio in spreads)])
    most = max([2.0, *goals, *(ratio.most for ratio in spreads)])
    return _Axis(least=least * 0.85, most=most * 1.15)


def _draw_axis(axis: _Axis, bottom: float) -> list[str]:
    parts = []
    for tick in _TICKS:
        if axis.least <= tick <= axis.most:
            x, kind = axis.place(tick), "floor" if tick == 1 else "axis"
            parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{tick:g} x</text>')
    return parts


def _draw_legend(peers: list[str]) -> list[str]:
    parts = []
    for turn, peer in enumerate(peers):
        x = _LABELS + 110 * turn
        parts.append(f'<circle cx="{x}" cy="46" r="5" fill="{_colour(turn)}"/>')
        parts.append(f'<text x="{x + 10}" y="50">{escape(peer)}</text>')
    x = _LABELS + 110 * len(peers)
    parts.append(f'<line class="goal" x1="{x}" x2="{x}" y1="39" y2="53"/><text x="{x + 10}" y="50">goal</text>')
    return parts


def _draw_mark(mark: _Mark, peers: list[str], axis: _Axis, y: float) -> list[str]:
    parts = [f'<text x="{_LABELS - 14}" y="{y + 4}" text-anchor="end">{escape(mark.figure.title)}</text>']
    goal = mark.figure.goal
    if goal is not None and goal.of == "times":
        x = axis.place(goal.at_most)
        parts.append(f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9}" y2="{y + 9}"/>')
    for turn, peer in enumerate(peers):
        if peer in mark.ratios:
            parts += _draw_dot(mark.ratios[peer], _colour(turn), axis, y)
    return parts


def _draw_dot(ratio: Spread, colour: str, axis: _Axis, y: float) -> list[str]:
    left, middle, right = axis.place(ratio.least), axis.place(ratio.median), axis.place(ratio.most)
    return [
        f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3" opacity=".45"/>',
        f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{colour}"><title>{ratio.median:.2f} x</title></circle>',
    ]


def _frame_picture(title: str, height: float, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" role="img">'
    body = [
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text x="14" y="24">{escape(title)}</text>',
    ]
    return "\n".join([head, *body, *parts, "</svg>"]) + "\n"


def _colour(turn: int) -> str:
    return _COLOURS[turn % len(_COLOURS)]
