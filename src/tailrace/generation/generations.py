"""All the answers of one process, under way and lately ended, and the one sweep that keeps their time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from tailrace.errors import RequestError, StreamError
from tailrace.generation.accounts import Account
from tailrace.generation.attempts import Attempt
from tailrace.generation.generation import Generation
from tailrace.ids import new_id
from tailrace.metrics import Metrics
from tailrace.settings import OnDisconnect, StreamSettings
from tailrace.streamlog import Ring, RingLog

_SWEEP_S: Final = 1.0


class Generations:
    """All the answers of this process, under way and lately ended, and the one sweep that keeps their time."""

    def __init__(self, settings: StreamSettings, *, metrics: Metrics) -> None:
        self.ring = Ring()
        self.metrics = metrics
        self._settings = settings
        self._running: dict[str, Generation] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._interval = _sweep_interval(settings)
        self.draining = False

    def start(
        self,
        attempts: Sequence[Attempt],
        *,
        on_disconnect: OnDisconnect = "cancel",
        owner: str = "",
        dialect: str = "",
        request_id: str = "",
        settings: StreamSettings | None = None,
        account: Account | None = None,
    ) -> Generation:
        """Begin an answer; its first upstream is asked in the event loop's next turn.

        `account` is the money's side of it, opened already, whose id becomes the log's. `owner` and `dialect` stay
        with the log: who may read it, and the format it was asked for in. Raises RequestError 503 while draining.
        """
        self.refuse_if_draining()
        settings = settings or self._settings
        self._interval = min(self._interval, _sweep_interval(settings))
        generation = Generation(
            attempts,
            log=self._create_log(account, owner=owner, dialect=dialect),
            settings=settings,
            on_disconnect=on_disconnect,
            metrics=self.metrics,
            request_id=request_id,
            account=account,
        )
        self._running[generation.id] = generation
        generation.task.add_done_callback(lambda _: self._running.pop(generation.id, None))
        self._keep_sweeping()
        return generation

    def _create_log(self, account: Account | None, *, owner: str, dialect: str) -> RingLog:
        if account is None:
            return self.ring.create(new_generation_id(), owner=owner, dialect=dialect)
        opening = account.opening
        return self.ring.create(opening.id, owner=owner, dialect=dialect, session_id=opening.session_id)

    def refuse_if_draining(self) -> None:
        """Raise RequestError 503 while draining."""
        if self.draining:
            raise RequestError(503, "draining", "the server is stopping and takes no new streams")

    def get(self, generation_id: str) -> Generation | None:
        """The generation with this id while it runs."""
        return self._running.get(generation_id)

    def running(self) -> list[Generation]:
        """Those that run, oldest first."""
        return list(self._running.values())

    async def drain(self, seconds: float) -> None:
        """Take no new ones, let those that run end; after so many seconds seal the rest as `draining`."""
        self.draining = True
        await self._wait(seconds)
        for generation in self.running():
            generation.stop(StreamError("draining", "the server is stopping"))
        await self._wait(None)

    async def close(self) -> None:
        """Stop everything at once and leave nothing behind."""
        await self.drain(0)
        if self._timer is not None:
            self._timer.cancel()

    async def _wait(self, seconds: float | None) -> None:
        tasks = [generation.task for generation in self.running()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def _keep_sweeping(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._sweep)

    def _sweep(self) -> None:
        """Once a second: timeouts, heartbeats, and logs that nobody came back to. It stops where nothing is left."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for generation in self.running():
            generation.tick(now)
        self.ring.sweep(now)
        if self._running or len(self.ring):
            self._keep_sweeping()


def new_generation_id() -> str:
    """A name for an answer that nobody can guess."""
    return new_id("gen_", 12)


def _sweep_interval(settings: StreamSettings) -> float:
    """A second, or less where a timeout is shorter than a few of them."""
    shortest = min(
        settings.first_token_s,
        settings.idle_s,
        settings.total_s,
        settings.send_s,
        settings.heartbeat_s,
        settings.status_wait_s,
    )
    return max(0.02, min(_SWEEP_S, shortest / 4))
