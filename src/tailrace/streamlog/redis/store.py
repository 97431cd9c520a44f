"""Logs in Redis or Valkey, for many workers on many machines: each writes its own, and reads everyone's."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from tailrace.errors import SettingsError, StoreError
from tailrace.settings import SecretUrl
from tailrace.streamlog.faces import Face
from tailrace.streamlog.redis import names
from tailrace.streamlog.redis.audience import Audience
from tailrace.streamlog.redis.line import Line, Redis
from tailrace.streamlog.redis.listener import Listener
from tailrace.streamlog.redis.mirrors import MirrorLog, Mirrors
from tailrace.streamlog.redis.reading import Reading, restore
from tailrace.streamlog.redis.requirements import WHERE, check_server
from tailrace.streamlog.redis.scribe import Scribe
from tailrace.streamlog.redis.takeover import Takeover
from tailrace.streamlog.redis.watch import Watch
from tailrace.streamlog.redis.writing import Terms
from tailrace.streamlog.ring import RingLog
from tailrace.streamlog.store import Author, LogStore, Mark, OnFlush

LEASE_S: Final = 15.0
_FAREWELL_S: Final = 5.0
_CONFIRM_S: Final = 2.0

_log = structlog.get_logger(__name__)


class RedisStore(LogStore):
    """`keep_s` after its end a log goes. A worker that is silent for `lease_s` is held to be dead.

    `on_flush` is told of each group that was written, or was not.
    """

    def __init__(
        self,
        url: SecretUrl,
        *,
        keep_s: float,
        lease_s: float = LEASE_S,
        on_flush: OnFlush = lambda *_: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.worker = secrets.token_hex(8)
        self._url = url
        self._author: Author | None = None
        try:
            redis = Redis(url.reveal())
        except ValueError as error:
            raise SettingsError(f"{url} can't be understood: {error}", where=WHERE) from None
        terms = Terms(self.worker, keep_s=keep_s, clock=clock)
        self._lease_s = lease_s
        # One connection writes, one asks, one listens: a long answer holds no append up
        self._writing_line = Line(redis)
        self._line = Line(redis)
        self.listener = Listener(redis)
        self._reading = Reading(self._line, terms)
        self._takeover = Takeover(self._line, self._reading, terms, lease_s=lease_s, on_taken=self._inherit)
        self._line.on_trouble = self._takeover.wait_a_lease
        self._mirrors = Mirrors(self._line, self.listener)
        self._audience = Audience(self._line, terms, lease_s=lease_s, on_stop=self._stop)
        self._scribe = Scribe(self._writing_line, terms, lease_s=lease_s, on_flush=on_flush, on_lost=self._lose)
        self._watch = Watch(self._line, self._scribe, self._mirrors, self._audience, self._takeover, lease_s=lease_s)

    def serve(self, author: Author) -> None:
        self._author = author

    async def open(self) -> None:
        try:
            if await check_server(self._line, self._url) < self._lease_s:
                self._takeover.wait_a_lease()
            await self._scribe.open()
            await self.listener.open()
            await self.listener.subscribe(names.hints_channel(self.worker), self._take_hint)
            await self._takeover.sweep()
        except StoreError as error:
            await self._let_go()
            raise SettingsError(f"{self._url} can't be used: {error}", where=WHERE) from error
        except BaseException:
            await self._let_go()
            raise
        self._watch.open()

    async def close(self) -> None:
        await self._watch.close()
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self.flush()
        except TimeoutError:
            _log.warning("streams_not_kept", store="redis", error="it took too long to write what was left")
        await self._scribe.stop()
        await self._say_farewell()
        await self._let_go()

    async def _say_farewell(self) -> None:
        """A worker that ends in order leaves nothing to be taken over, unless it could not write it."""
        left = self._scribe.logs()
        try:
            await self._line.ask((b"DEL", names.lease_key(self.worker)))
            if not left:
                await self._line.ask((b"DEL", names.running_key(self.worker)), (b"SREM", names.WORKERS, self.worker))
        except StoreError:
            _log.warning("redis_not_told", streams=len(left))

    async def _let_go(self) -> None:
        await self._scribe.stop()
        await self._mirrors.close()
        await self.listener.close()
        await self._writing_line.close()
        await self._line.close()

    def keep(self, log: RingLog) -> None:
        self._scribe.keep(log)

    async def find(self, log_id: str) -> RingLog | None:
        if (known := self._scribe.get(log_id) or self._mirrors.get(log_id)) is not None:
            return known
        found = await self._reading.find(log_id)
        if found is not None and found.ended_at is None and await self._takeover.is_due(found.header.worker):
            await self._takeover.take_over(log_id)
            found = await self._reading.find(log_id)
        if found is None:
            return None
        if found.ended_at is not None:
            return restore(log_id, found)
        return await self._mirrors.follow(log_id, found)

    async def list(
        self, owner: str | None, *, limit: int, after: Mark | None = None, chat_id: str | None = None
    ) -> Sequence[Face]:
        return await self._reading.list_faces(owner, limit=limit, after=after, chat_id=chat_id)

    async def forget(self, log_id: str) -> None:
        await self._scribe.flush()
        await self._line.ask((b"DEL", names.log_key(log_id), names.state_key(log_id)))

    async def flush(self) -> None:
        await self._scribe.flush()

    async def confirm(self, log: RingLog) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CONFIRM_S):
                await self._scribe.confirm(log.id)

    async def reach(self, log: RingLog, seq: int) -> None:
        if isinstance(log, MirrorLog):
            await self._mirrors.reach(log, seq)

    async def cancel(self, log: RingLog) -> None:
        if isinstance(log, MirrorLog):
            await self._audience.ask_to_stop(log)

    # What comes from others

    def _take_hint(self, message: bytes) -> None:
        self._watch.look_at(message.decode("utf-8", "replace"))

    def _stop(self, log_id: str) -> None:
        if self._author is not None:
            self._author.stop(log_id)

    def _lose(self, log: RingLog) -> None:
        _log.error("stream_lost", stream=log.id, reason="another worker took it over")
        if self._author is not None:
            self._author.lose(log.id)

    def _inherit(self, log_id: str) -> None:
        if self._author is not None:
            self._author.inherit(log_id)
