"""Rounds: every peer once in each, one after another, and another one first each time."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bench.errors import Refused, StartError
from bench.measures import Row
from bench.peers import Peer
from bench.results import FLOOR, RowResult
from bench.stand import Stand

_T = TypeVar("_T")


def rotate(items: Sequence[_T], turn: int) -> list[_T]:
    """The items from another one on for each turn, so that none always follows the same."""
    start = turn % len(items) if items else 0
    return [*items[start:], *items[:start]]


class Rounds:
    """The rounds of one row. A peer that was refused once takes no further part; without the floor there are none."""

    def __init__(self, stand: Stand, row: Row, peers: Sequence[Peer], pairs: int) -> None:
        self._stand = stand
        self._row = row
        self._peers = [peer for peer in peers if row.serves(peer)]
        self._count = row.count_rounds(pairs)
        self._samples: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in self._peers}
        self._refused: dict[str, str] = {}

    async def run(self) -> RowResult:
        """Warm up, measure all rounds, and give what they found."""
        for peer in self._peers:
            await self._try(peer, self._warm_up)
        for turn in range(self._count):
            for peer in rotate(self._peers, turn):
                await self._try(peer, self._sample)
            self._tell(turn)
        return RowResult(
            name=self._row.name,
            figures=self._row.figures,
            rounds=self._count,
            samples=self._samples,
            refused=self._refused,
        )

    async def _try(self, peer: Peer, act: Callable[[Peer], Awaitable[None]]) -> None:
        if peer.name in self._refused or FLOOR in self._refused:
            return
        try:
            await act(peer)
        except (Refused, StartError) as reason:
            self._refused[peer.name] = str(reason)
            self._samples[peer.name] = []

    async def _warm_up(self, peer: Peer) -> None:
        await self._row.warm_up(self._stand, peer)

    async def _sample(self, peer: Peer) -> None:
        self._samples[peer.name].append(await self._row.sample(self._stand, peer))

    def _tell(self, turn: int) -> None:
        figure = self._row.figures[0]
        values = ", ".join(
            f"{name} {samples[-1][figure.name]:.3g} {figure.unit}" for name, samples in self._samples.items() if samples
        )
        print(f"{self._row.name} {turn + 1}/{self._count}: {values or 'refused'}", file=sys.stderr, flush=True)
