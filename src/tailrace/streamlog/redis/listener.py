"""One connection for everything that is published to this worker, however many streams and readers that is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from tailrace.errors import StoreError
from tailrace.streamlog.redis.line import TIMEOUT_S, Redis, hang_up, pack, trouble

Handler: TypeAlias = Callable[[bytes], None]

RETRY_S: Final = 0.25
_LIFE_SIGN_S: Final = 5.0

_log = structlog.get_logger(__name__)


class Listener:
    """Subscriptions outlive the connection. What is published while there is none is lost: readers look for gaps."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._handlers: dict[bytes, Handler] = {}
        # For the connection that there is
        self._connection: AbstractConnection | None = None
        self._confirmed: dict[bytes, asyncio.Future[None]] = {}
        self._heard_at = 0.0
        # While it is open
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin to listen. Raises StoreError."""
        await self._connect()
        self._tasks = [
            asyncio.create_task(self._keep_listening(), name="redis:listen"),
            asyncio.create_task(self._keep_asking(), name="redis:listen-ping"),
        ]

    async def close(self) -> None:
        """Listen no more."""
        for task in (*self._tasks, *self._leaving):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._leaving, return_exceptions=True)
        await self._disconnect()

    async def subscribe(self, channel: bytes, handler: Handler) -> None:
        """Hand on what is published in a channel; it holds when this returns. Raises StoreError."""
        self._handlers[channel] = handler
        if self._connection is None:
            raise StoreError("Redis: the connection was lost")
        confirmed = self._confirmed.get(channel)
        if confirmed is None:
            confirmed = self._confirmed[channel] = asyncio.get_running_loop().create_future()
            await self._send(b"SUBSCRIBE", channel)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.shield(confirmed)
        except TimeoutError as error:
            raise trouble(error) from error

    def unsubscribe(self, channel: bytes) -> None:
        """Hand nothing more on."""
        self._handlers.pop(channel, None)
        if self._confirmed.pop(channel, None) is not None:
            self._leaving.append(asyncio.create_task(self._leave(channel)))
            self._leaving = [task for task in self._leaving if not task.done()]

    def receive(self, channel: bytes, message: bytes) -> None:
        """Hand one message on."""
        if (handler := self._handlers.get(channel)) is not None:
            handler(message)

    # The connection

    async def _connect(self) -> None:
        self._connection = await self._redis.connect()
        self._heard_at = asyncio.get_running_loop().time()
        if self._handlers:
            channels = list(self._handlers)
            self._confirmed = {channel: asyncio.get_running_loop().create_future() for channel in channels}
            await self._send(b"SUBSCRIBE", *channels)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        lost, self._confirmed = self._confirmed, {}
        for confirmed in lost.values():
            if not confirmed.done():
                confirmed.set_exception(StoreError("Redis: the connection was lost"))
                confirmed.exception()  # seen: nobody need wait for it
        if connection is not None:
            await hang_up(connection)

    async def _send(self, *command: bytes) -> None:
        """A connection that can't be written is found out by its reader."""
        if self._connection is None:
            return
        try:
            await self._connection.send_packed_command(pack(command), check_health=False)
        except (RedisError, OSError):
            _log.debug("redis_not_written", exc_info=True)

    async def _leave(self, channel: bytes) -> None:
        if channel not in self._handlers:  # else somebody came back meanwhile
            await self._send(b"UNSUBSCRIBE", channel)

    async def _keep_listening(self) -> None:
        while True:
            try:
                if self._connection is None:
                    await self._connect()
                await self._listen()
            except (RedisError, OSError, StoreError) as error:
                _log.debug("redis_not_heard", error=str(error))
            except Exception:
                _log.exception("redis_not_heard")
            await self._disconnect()
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while (connection := self._connection) is not None:
            reply = await connection.read_response(timeout=math.inf)
            self._heard_at = loop.time()
            self._take(reply)

    def _take(self, reply: Any) -> None:
        match reply:
            case [b"message", channel, message]:
                self.receive(channel, message)
            case [b"subscribe", channel, _]:
                confirmed = self._confirmed.get(channel)
                if confirmed is not None and not confirmed.done():
                    confirmed.set_result(None)
            case _:
                pass

    async def _keep_asking(self) -> None:
        """A peer that is gone without a word is noticed by its silence."""
        while True:
            await asyncio.sleep(_LIFE_SIGN_S)
            if asyncio.get_running_loop().time() - self._heard_at > 2 * _LIFE_SIGN_S + 1:
                await self._disconnect()
            else:
                await self._send(b"PING")
