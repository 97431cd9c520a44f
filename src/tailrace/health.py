"""How each upstream has done in the last minutes, as this process saw it; kept in memory alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import msgspec

from tailrace.errors import StreamError, UpstreamError

WINDOW_MINUTES: Final = 5
"""Requests and failures are those of so many minutes, the one that runs included."""

_THE_CALLERS: Final = frozenset({400, 404, 413, 422})
"""Statuses of a refusal that says nothing against the upstream: the request was wrong."""

_SILENCES: Final = frozenset({"first_token_timeout", "idle_timeout"})

T = TypeVar("T")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What last went wrong at an upstream, and when, in Unix time."""

    code: str
    status: int
    at: float


class Upstream(msgspec.Struct, kw_only=True):
    """One upstream; `requests` and `failures` by the minute since 1970."""

    running: int = 0
    requests: Counter[int] = msgspec.field(default_factory=Counter)
    failures: Counter[int] = msgspec.field(default_factory=Counter)
    last_failure: Failure | None = None
    last_answer_at: float | None = None


class Health:
    """The upstreams that were asked, by name. Only the event loop's thread calls it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._upstreams: dict[str, Upstream] = {}

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """All that were asked, with what the last minutes brought."""
        for upstream in self._upstreams.values():
            self._forget_old(upstream)
        return self._upstreams

    async def watch(self, name: str, run: Awaitable[T]) -> T:
        """Await one exchange with an upstream, and note how it went; what it raises goes on."""
        upstream = self._begin(name)
        upstream.running += 1
        try:
            answer = await run
        except UpstreamError as error:
            if error.code != "upstream_refused" or error.status not in _THE_CALLERS:
                self._note(upstream, error)
            raise
        finally:
            upstream.running -= 1
        upstream.last_answer_at = self._clock()
        return answer

    def _begin(self, name: str) -> Upstream:
        """Count one more request to an upstream."""
        upstream = self._upstreams.get(name)
        if upstream is None:
            upstream = self._upstreams[name] = Upstream()
        minute = self._minute
        if minute not in upstream.requests:
            self._forget_old(upstream)
        upstream.requests[minute] += 1
        return upstream

    def note_stop(self, name: str, error: StreamError) -> None:
        """Somebody stops an exchange: it is the upstream's failure where that is because nothing came from it."""
        if error.code in _SILENCES and (upstream := self._upstreams.get(name)) is not None:
            self._note(upstream, error)

    def _note(self, upstream: Upstream, error: StreamError) -> None:
        upstream.failures[self._minute] += 1
        upstream.last_failure = Failure(code=error.code, status=error.status, at=self._clock())

    @property
    def _minute(self) -> int:
        return int(self._clock() // 60)

    def _forget_old(self, upstream: Upstream) -> None:
        first = self._minute - WINDOW_MINUTES + 1
        for counts in (upstream.requests, upstream.failures):
            for minute in [minute for minute in counts if minute < first]:
                del counts[minute]
