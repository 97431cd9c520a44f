"""One connection to Redis: commands go out packed and many at a time, their replies come back in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, TypeAlias, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import NoScriptError, RedisError, ResponseError

from tailrace.errors import StoreError
from tailrace.streamlog.redis.scripts import ALL, Script

Argument: TypeAlias = bytes | str | int | float
Command: TypeAlias = tuple[Argument, ...]

TIMEOUT_S: Final = 5.0

_TROUBLES: Final = (RedisError, OSError, TimeoutError)


class Redis:
    """Where a Redis is, and how to connect to it."""

    def __init__(self, url: str) -> None:
        self._pool: ConnectionPool = ConnectionPool.from_url(url)
        # Never a timeout of redis-py's own (5 s), for a subscriber may wait for hours: ours hold for each exchange
        self._pool.connection_kwargs |= {"socket_timeout": None, "protocol": 2, "decode_responses": False}

    async def connect(self) -> AbstractConnection:
        """A new connection. Raises StoreError."""
        connection: AbstractConnection = self._pool.connection_class(**self._pool.connection_kwargs)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await connection.connect_check_health(check_health=False, retry_socket_connect=False)
        except _TROUBLES as error:
            await hang_up(connection)
            raise trouble(error) from error
        except BaseException:
            await hang_up(connection)
            raise
        return connection


class Line:
    """A connection that makes itself again, and on which these scripts can be called.

    `on_trouble` is called whenever it was lost, or could not be made.
    """

    def __init__(self, redis: Redis, scripts: Sequence[Script] = ALL) -> None:
        self.on_trouble: Callable[[], None] | None = None
        self._redis = redis
        self._scripts = scripts
        self._connection: AbstractConnection | None = None
        self._turn = asyncio.Lock()

    async def ask(self, *commands: Command) -> list[Any]:
        """The replies to these commands. Raises StoreError where Redis does not answer, or refuses one of them."""
        replies = await self.exchange([pack(command) for command in commands], len(commands))
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise trouble(reply) from reply
        return replies

    async def exchange(self, packed: Sequence[bytes], replies: int) -> list[Any]:
        """Send packed commands; their replies, with the refusals as errors among them. Raises StoreError."""
        try:
            # Waiting for the turn counts too: behind a Redis that stands still nobody waits for all before him
            async with asyncio.timeout(TIMEOUT_S), self._turn, self._connected() as connection:
                await connection.send_packed_command(packed, check_health=False)
                came = [await _read(connection) for _ in range(replies)]
                if any(isinstance(reply, NoScriptError) for reply in came):
                    await _load_scripts(connection, self._scripts)
                return came
        except _TROUBLES as error:
            self._tell_trouble()
            raise trouble(error) from error
        except StoreError:
            self._tell_trouble()
            raise

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            await hang_up(self._connection)
            self._connection = None

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncGenerator[AbstractConnection, None]:
        """The connection, for one exchange; one that is broken off leaves replies behind, so it is given up."""
        try:
            if self._connection is None:
                self._connection = await self._redis.connect()
                await _load_scripts(self._connection, self._scripts)
            yield self._connection
        except BaseException:
            await self.close()
            raise

    def _tell_trouble(self) -> None:
        if self.on_trouble is not None:
            self.on_trouble()


def pack(command: Command) -> bytes:
    """A command in the protocol's bytes."""
    packed: bytes = hiredis.pack_command(cast("Any", command))
    return packed


def call(script: Script, key: bytes, *arguments: Argument) -> Command:
    """The command that runs a script on a stream's key."""
    return (b"EVALSHA", script.sha, 1, key, *arguments)


def trouble(error: BaseException) -> StoreError:
    """What callers are told."""
    return StoreError(f"Redis: {str(error) or 'it does not answer'}")


async def hang_up(connection: AbstractConnection) -> None:
    """Close a connection at once, whatever state it is in."""
    with contextlib.suppress(*_TROUBLES):
        await connection.disconnect(nowait=True)


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(disconnect_on_error=False)
    except ResponseError as error:
        return error


async def _load_scripts(connection: AbstractConnection, scripts: Sequence[Script]) -> None:
    loading = [pack((b"SCRIPT", b"LOAD", script.text)) for script in scripts]
    await connection.send_packed_command(loading, check_health=False)
    for _ in scripts:
        await connection.read_response()
