"""What a Redis must be for streams to live in it: refused or warned of otherwise, with what to set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs
from tests.redis_server import RedisServer, redis_server
from tests.streamlog.redis.shelf import ID, RedisShelf, client, free_port, said
from tests.streamlog.specimens import END, STARTED

from tailrace.errors import SettingsError
from tailrace.settings import SecretUrl, Settings, StreamSettings
from tailrace.streamlog import create_store
from tailrace.streamlog.redis import RedisStore

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """One that a test may do anything to."""
    async with redis_server() as server:
        yield server


async def refusal(url: str) -> str:
    """Why a store does not open there."""
    with pytest.raises(SettingsError) as caught:
        await RedisStore(SecretUrl(url), keep_s=60).open()
    return str(caught.value)


async def test_nobody_there() -> None:
    """A Redis that does not answer at the start is refused, with what to do, and without the password."""
    told = await refusal("redis://ann:canary@127.0.0.1:1/0")
    assert told.startswith("TAILRACE_REDIS_URL: redis://***@127.0.0.1:1/0 can't be used (Redis: ")
    assert "start a Redis >= 6.2 or a Valkey there" in told
    assert "canary" not in told


async def test_an_old_one() -> None:
    """One older than 6.2 is refused by its version."""
    server = await asyncio.start_server(_old_redis, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        assert "is a Redis 6.0.16: take 6.2 or later, or a Valkey" in await refusal(f"redis://127.0.0.1:{port}")
    finally:
        server.close()
        await server.wait_closed()


async def _old_redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers INFO, and OK to all else; commands of one word each, or several."""
    told = b"redis_version:6.0.16\r\n"
    try:
        while (head := await reader.readline())[:1] == b"*":
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            writer.write(b"$%d\r\n%b\r\n" % (len(told), told) if words == [b"INFO"] else b"+OK\r\n")
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--cluster-enabled", "yes"), "is a node of a Redis Cluster: set the address of one server"),
        (("--replicaof", "127.0.0.1", "1"), "is a replica, which can't be written: set its primary's address"),
    ],
)
async def test_one_of_the_wrong_kind(flags: tuple[str, ...], reason: str) -> None:
    """A cluster's node and a replica are refused at the start, each in its own words."""
    async with redis_server(*flags) as server:
        assert reason in await refusal(server.url)


async def test_one_that_wants_a_password(redis: RedisServer) -> None:
    """Without the password it is refused at the start; with it, and a database's number, it serves."""
    async with client(redis) as asking:
        await asking.config_set("requirepass", "canary")
    assert "can't be used" in await refusal(redis.url)
    shelf = RedisShelf(redis.url.replace("//", "//:canary@") + "/3")
    await shelf.open()
    log = shelf.create(ID, STARTED, *END)
    await shelf.forget()
    assert said(await shelf.store.find(ID)) == said(log)
    await shelf.close()


async def test_one_that_drops_what_it_likes(redis: RedisServer) -> None:
    """Any policy but `noeviction` is warned of, with what to set."""
    async with client(redis) as asking:
        await asking.config_set("maxmemory-policy", "allkeys-lru")
    shelf = RedisShelf(redis.url)
    with capture_logs() as logs:
        await shelf.open()
        await shelf.close()
    (warning,) = [line for line in logs if line["event"] == "redis_may_drop_streams"]
    assert warning["remedy"] == "set maxmemory-policy noeviction"


async def test_the_settings_choose_it(redis: RedisServer, tmp_path: Path) -> None:
    """`TAILRACE_REDIS_URL` makes logs live there, those too that are not kept beyond their end."""
    for keep_s in (3600.0, 0.0):
        settings = Settings(redis_url=SecretUrl(redis.url), stream=StreamSettings(keep_s=keep_s))
        assert isinstance(create_store(settings, tmp_path / "streams.db"), RedisStore)


async def test_over_tls(tmp_path: Path) -> None:
    """`rediss://` with the authority that is to be trusted; a certificate of any other is refused at the start."""
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    files = ("--tls-cert-file", str(tmp_path / "server.pem"), "--tls-key-file", str(tmp_path / "server.pem"))
    tls = ("--tls-port", str(port), *files, "--tls-ca-cert-file", str(tmp_path / "ca.pem"), "--tls-auth-clients", "no")
    url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}"
    async with redis_server(*tls):
        assert "can't be used" in await refusal(f"{url}/other.pem")
        shelf = RedisShelf(f"{url}/ca.pem")
        await shelf.open()
        log = shelf.create(ID, STARTED, *END)
        await shelf.forget()
        assert said(await shelf.store.find(ID)) == said(log)
        await shelf.close()
