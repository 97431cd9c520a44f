"""What a worker looks at every second: its own logs' readers elsewhere, its mirrors, and who has died."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from tailrace.errors import StoreError
from tailrace.streamlog.redis import names
from tailrace.streamlog.redis.audience import TICK_S, Audience
from tailrace.streamlog.redis.line import Line
from tailrace.streamlog.redis.mirrors import MirrorLog, Mirrors
from tailrace.streamlog.redis.scribe import Scribe
from tailrace.streamlog.redis.takeover import Takeover

_log = structlog.get_logger(__name__)


class Watch:
    """One task. Between the ticks it does at once what it is told of: readers that come and go, and hints."""

    def __init__(
        self,
        line: Line,
        scribe: Scribe,
        mirrors: Mirrors,
        audience: Audience,
        takeover: Takeover,
        *,
        lease_s: float,
    ) -> None:
        # For its whole life
        self._line = line
        self._scribe = scribe
        self._mirrors = mirrors
        self._audience = audience
        self._takeover = takeover
        self._lease_s = lease_s
        # While it is open
        self._task: asyncio.Task[None] | None = None
        self._urgent = asyncio.Event()
        # As it goes
        self._changed: set[MirrorLog] = set()
        self._hinted: set[str] = set()

    def open(self) -> None:
        """Begin to look."""
        self._mirrors.on_audience = self._note_readers
        self._task = asyncio.create_task(self._keep_looking(), name="redis:watch")

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look_at(self, log_id: str) -> None:
        """There is news of a log of ours."""
        self._hinted.add(log_id)
        self._urgent.set()

    def _note_readers(self, log: MirrorLog) -> None:
        self._changed.add(log)
        self._urgent.set()

    async def _keep_looking(self) -> None:
        loop = asyncio.get_running_loop()
        next_tick = loop.time()
        while True:
            try:
                if loop.time() >= next_tick:
                    next_tick = loop.time() + TICK_S
                    await self._tick()
                await self._see_to_news()
            except StoreError as error:
                _log.debug("redis_not_watched", error=str(error))
                await asyncio.sleep(TICK_S / 4)
            except Exception:
                _log.exception("redis_not_watched")
                await asyncio.sleep(TICK_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_tick):
                    await self._urgent.wait()
            self._urgent.clear()

    async def _see_to_news(self) -> None:
        changed, self._changed = self._changed, set()
        hinted, self._hinted = self._hinted, set()
        try:
            await self._audience.tell(list(changed))
            await self._audience.look([log for log in map(self._scribe.get, hinted) if log is not None], counts=False)
        except StoreError:
            self._changed |= changed
            self._hinted |= hinted
            raise

    async def _tick(self) -> None:
        self._audience.forget_all_but({log.id for log in self._scribe.logs()})
        await self._audience.look(self._scribe.logs())
        mirrors = self._mirrors.running()
        await self._audience.tell(mirrors)
        await self._mirrors.read_on(mirrors)
        await self._look_for_missing(mirrors)
        await self._takeover.sweep()
        for log_id in list(self._scribe.given_up):
            await self._takeover.take_over(log_id)
            self._scribe.given_up.discard(log_id)

    async def _look_for_missing(self, mirrors: list[MirrorLog]) -> None:
        """A log that Redis lost is written again by its owner; one that nobody writes again has lost its end."""
        running = [log for log in mirrors if log.terminal is None]
        if not running:
            return
        now = asyncio.get_running_loop().time()
        there = await self._line.ask(*((b"EXISTS", names.log_key(log.id)) for log in running))
        for log, is_there in zip(running, there, strict=True):
            if is_there:
                log.missing_since = None
            elif log.missing_since is None:
                log.missing_since = now
            elif now - log.missing_since > self._lease_s:
                self._mirrors.give_up(log)
