"""How a surface that hands out ids of its own, and composes its own conversations, has an answer filed away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from tailrace.events import Event, Opaque
from tailrace.ledger import Turn
from tailrace.requests import Part

Annex: TypeAlias = Callable[[Sequence[Event]], Sequence[Part]]
"""What is kept of an answer behind its parts, from all its events."""


class Filing(msgspec.Struct, frozen=True, kw_only=True):
    """One answer's name and place, made before it begins.

    `session_id` is a conversation of the answer's own, for an order that names none: it keeps `turns`, then the answer,
    and nothing is put before the request, which is whole. `annex` says what is kept of the answer behind its own parts.
    `prologue` stands in the log before `Started`; where it is `announced`, from the beginning on, so that no reader
    waits for the upstream.
    """

    generation_id: str
    session_id: str | None = None
    turns: tuple[Turn, ...] = ()
    prologue: Sequence[Opaque] = ()
    announced: bool = False
    annex: Annex | None = None
