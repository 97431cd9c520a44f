"""All the answers of one process, under way and lately ended, and the one sweep that keeps their time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from weakref import WeakValueDictionary

from tailrace.errors import RequestError, StreamError
from tailrace.generation.accounts import Account
from tailrace.generation.attempts import Attempt
from tailrace.generation.filing import Filing
from tailrace.generation.generation import Generation
from tailrace.ids import new_timed_id
from tailrace.metrics import Metrics
from tailrace.settings import OnDisconnect, StreamSettings
from tailrace.streamlog import LogStore, MemoryStore, Ring, RingLog, ended

_SWEEP_S: Final = 1.0
_CANCEL_S: Final = 5.0
"""How long another process may take to stop: it looks each second, and is told besides."""


class Generations:
    """All the answers of this process, under way and lately ended, and the one sweep that keeps their time."""

    def __init__(self, settings: StreamSettings, *, metrics: Metrics, store: LogStore | None = None) -> None:
        self.ring = Ring()
        self.store = store or MemoryStore()
        self.metrics = metrics
        self._settings = settings
        self._running: dict[str, Generation] = {}
        self._searches: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._loop: asyncio.AbstractEventLoop | None = None  # once it is known: to ask for it is a system call
        self._timer: asyncio.TimerHandle | None = None
        self._interval = _sweep_interval(settings)
        self.draining = False
        self.inherited: set[str] = set()
        self.store.serve(self)

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
        chat_id: str | None = None,
        filing: Filing | None = None,
    ) -> Generation:
        """Begin an answer; its first upstream is asked in the event loop's next turn.

        `account` is the money's side of it, opened already, whose id becomes the log's. `owner`, `dialect`
        and `chat_id` stay with the log: who may read it, the format it was asked for in, the chat it belongs to. Raises
        RequestError 503 while draining. `filing` says what its log opens with.
        """
        self.refuse_if_draining()
        if settings is not None:
            self._interval = min(self._interval, _sweep_interval(settings))
        self._loop = self._loop or asyncio.get_running_loop()
        log = self._create_log(account, owner=owner, dialect=dialect, chat_id=chat_id)
        prologue = () if filing is None else filing.prologue
        if filing is not None and filing.announced:
            log.append(prologue)
        generation = Generation(
            attempts,
            loop=self._loop,
            log=log,
            settings=settings or self._settings,
            on_disconnect=on_disconnect,
            metrics=self.metrics,
            request_id=request_id,
            account=account,
            prologue=() if log.tail else prologue,
            confirm=self.store.confirm,
        )
        self._running[log.id] = generation
        generation.task.add_done_callback(lambda _: self._running.pop(log.id, None))
        self._keep_sweeping()
        return generation

    def _create_log(self, account: Account | None, *, owner: str, dialect: str, chat_id: str | None) -> RingLog:
        if account is None:
            log_id, session_id = new_generation_id(), None
        else:
            log_id, session_id = account.opening.id, account.opening.session_id
        log = self.ring.create(log_id, owner=owner, dialect=dialect, session_id=session_id, chat_id=chat_id)
        self.store.keep(log)
        return log

    def refuse_if_draining(self) -> None:
        """Raise RequestError 503 while draining."""
        if self.draining:
            raise RequestError(503, "draining", "the server is stopping and takes no new streams")

    def get(self, generation_id: str) -> Generation | None:
        """The generation with this id while it runs."""
        return self._running.get(generation_id)

    async def find(self, log_id: str) -> RingLog | None:
        """The log with this id, from memory or from where logs are kept. Raises StoreError."""
        if (log := self.ring.get(log_id)) is not None:
            return log
        # One after the other: many readers come back at once, and all are to read the same log
        async with self._searches.setdefault(log_id, asyncio.Lock()):
            return self.ring.get(log_id) or await self._recall(log_id)

    async def _recall(self, log_id: str) -> RingLog | None:
        log = await self.store.find(log_id)
        if log is not None:
            self.ring.add(log)
            self._keep_sweeping()
        return log

    async def cancel(self, log: RingLog) -> None:
        """End an answer, whoever makes it; return when it has ended, or after a while. Raises StoreError."""
        if (generation := self.get(log.id)) is not None:
            self.stop(log.id)
            await generation.ended()
        elif log.terminal is None:
            await self.store.cancel(log)
            await ended(log, within_s=_CANCEL_S)

    async def forget(self, log_id: str) -> None:
        """Delete an answer that has ended from memory and from where logs are kept. Raises StoreError."""
        self.ring.discard(log_id)
        await self.store.forget(log_id)

    async def reach(self, log: RingLog, seq: int) -> None:
        """See that a log which another process writes holds this entry, which somebody has read elsewhere.

        Raises StoreError where it does not come, though the log still runs.
        """
        if log.terminal is None and log.tail < seq:
            await self.store.reach(log, seq)

    # What the store says that others did

    def stop(self, log_id: str) -> None:
        """Somebody wants this one cancelled."""
        if (generation := self.get(log_id)) is not None:
            generation.stop(StreamError("cancelled", "the stream was cancelled"))

    def lose(self, log_id: str) -> None:
        """Another process has taken this one over."""
        if (generation := self.get(log_id)) is not None:
            generation.lose()

    def inherit(self, log_id: str) -> None:
        """This process has taken the log over: its row is settled by the next sweep of the books."""
        self.inherited.add(log_id)

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
        self._loop = None

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
    return new_timed_id("gen_", 12)


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
