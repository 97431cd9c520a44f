"""tailrace's surfaces beside each other: what a token costs in each format, on one server in one round."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec

from bench.load import Ask, Load
from bench.measures import Row
from bench.peers import Peer, Tailrace
from bench.results import SUBJECT
from bench.stand import Stand, apply_load

_MESSAGES = [{"role": "user", "content": "Count."}]
_CHAT: Mapping[str, Any] = {"messages": _MESSAGES, "stream": True}
_UI = {"messages": [{"role": "user", "parts": [{"type": "text", "text": "Count."}]}]}


class Surface(msgspec.Struct, frozen=True, kw_only=True):
    """Where a format is asked for, what is posted beside the model, and on which bytes a whole answer ends."""

    path: str
    body: Mapping[str, Any]
    done: bytes = b"data: [DONE]"
    deltas_end: bytes = b""


PASSED_THROUGH = "chat completions"
"""The surface that speaks the upstream's own format."""

SURFACES: Mapping[str, Surface] = {
    PASSED_THROUGH: Surface(path="/v1/chat/completions", body=_CHAT),
    "responses": Surface(
        path="/v1/responses",
        body={"input": "Count.", "stream": True, "store": False},
        done=b"}",
        deltas_end=b"event: response.output_text.done",
    ),
    "messages": Surface(
        path="/v1/messages", body={**_CHAT, "max_tokens": 100_000}, done=b'data: {"type":"message_stop"}'
    ),
    "ollama": Surface(path="/api/chat", body={"messages": _MESSAGES}, done=b"}"),
    "ai-sdk": Surface(path="/ai-sdk/chat", body=_UI),
    "delta": Surface(path="/v1/chat/stream", body={"message": "Count."}),
    "token": Surface(path="/chat/stream", body={"message": "Count."}, done=b"}"),
    "meta": Surface(path="/chat/stream-meta", body={"message": "Count."}, done=b"}"),
}


class Speaking(Tailrace):
    """tailrace, asked on one of its surfaces."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    def ask(self, model: str, port: int) -> Ask:
        surface = self._surface
        body = msgspec.json.encode({**surface.body, "model": f"openai/{model}"})
        return Ask(port=port, path=surface.path, body=body, done=surface.done, deltas_end=surface.deltas_end)


@dataclass(frozen=True, kw_only=True)
class SurfacesRow(Row):
    """CPU a token: the dearest surface against the cheapest, and the one that passes through against the cheapest.

    Each surface's cost is the median of its `turns`, which it takes between the others'.
    """

    load: Load
    turns: int

    def serves(self, peer: Peer) -> bool:
        return peer.name == SUBJECT

    async def sample(self, stand: Stand, peer: Peer) -> dict[str, float]:
        server = await stand.find_server(peer)
        taken: dict[str, list[float]] = {name: [] for name in SURFACES}
        for _ in range(self.turns):
            # In another order each time, so that none always follows the same
            for name in random.sample(list(SURFACES), len(SURFACES)):
                reading = await apply_load(msgspec.structs.replace(server, peer=Speaking(SURFACES[name])), self.load)
                taken[name].append(reading.cpu_ns / 1000 / reading.outcome.tokens)
        cost = {name: median(values) for name, values in taken.items()}
        cheapest = min(cost.values())
        return {
            self.figures[0].name: max(cost.values()) / cheapest,
            self.figures[1].name: cost[PASSED_THROUGH] / cheapest,
            **cost,
        }
