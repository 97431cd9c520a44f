"""The contract between an upstream and a generation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import msgspec

from tailrace.events import Event, FinishReason
from tailrace.requests import ChatRequest


class Sink(Protocol):
    """Takes the events of one socket read, in order, at once. An empty list says: bytes came, no event in them.

    It never blocks and never waits. What it raises ends the exchange: the provider closes its connection and lets
    the exception through.
    """

    def __call__(self, events: list[Event], /) -> None: ...


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """How a whole answer ended: the common word, the upstream's own, and the stop sequence that was met.

    `frame` is the upstream's last frame, where its frames are kept and that one says nothing but the end.
    """

    reason: FinishReason
    native: str | None = None
    stop_sequence: str | None = None
    frame: bytes | None = None


class Provider(ABC):
    """One upstream. `open` is awaited once before the first `run`, `close` once after the last.

    `kind` names the format it speaks ("openai", "openai_responses", "anthropic", "ollama", "langchain", "simulated"),
    `name` is the name it was given, `default_model` serves where a request names none.
    """

    kind: str
    name: str
    default_model: str | None

    @abstractmethod
    async def open(self) -> None:
        """Make what is shared by all runs: the connection pool."""

    @abstractmethod
    async def close(self) -> None:
        """Close it. Runs that are under way have been cancelled before."""

    @abstractmethod
    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        """Ask the upstream and hand every event to `sink` as it comes; return when the answer is whole.

        `request.model` is the upstream's own name of the model. The sink gets `Started` once, before any content,
        deltas, `Opaque`, and `UsageReported` as often as the upstream says something of it (later figures hold, and
        what it did not say stays None); never `Finished` or `Failed`.
        Raises UpstreamError: refused, cut, invalid, connect timeout. A stream that ends before the upstream has said
        how the answer ended is `upstream_cut`. Cancelling the task closes the upstream's connection at once.
        """

    @abstractmethod
    async def models(self) -> list[str]:
        """The names of the models that the upstream offers, without the provider's prefix.

        Raises UpstreamError.
        """
