"""Every kind of transport, on every event loop, with upstreams of the kind it talks to."""

from __future__ import annotations

import asyncio
import gc
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import psutil
import pytest
import trustme
from tests.proxy import Proxy
from tests.upstream import DEADLINE_S, Script, ScriptedUpstream, Scripts

from tailrace.providers.transport import Transport, create_transport

if sys.platform != "win32":
    import uvloop


class Line:
    """A kind of transport: plain or TLS, direct or by way of a proxy."""

    def __init__(self, stack: AsyncExitStack, *, tls: ssl.SSLContext | None, ca_file: str, proxy: Proxy | None) -> None:
        self._stack = stack
        self._tls = tls
        self._ca_file = ca_file
        self.proxy = proxy

    @property
    def tls(self) -> bool:
        return self._tls is not None

    @property
    def scheme(self) -> str:
        return "https" if self._tls else "http"

    def upstream(self, script: Scripts, *, greeting: Script = (), host: str = "127.0.0.1") -> ScriptedUpstream:
        """An upstream of the kind that this line leads to."""
        return ScriptedUpstream(script, greeting=greeting, tls=self._tls, host=host)

    async def to(self, url: str, *, connect_s: float = 10.0, trusting: bool = True, **options: Any) -> Transport:
        """An open transport, closed at the end of the test."""
        transport = create_transport(
            url,
            connect_s=connect_s,
            proxy=self.proxy.url if self.proxy else None,
            ca_file=self._ca_file if trusting else None,
            **options,
        )
        await transport.open()
        self._stack.push_async_callback(transport.close)
        return transport


def over(*kinds: str) -> pytest.MarkDecorator:
    """Runs a test over these kinds of line only, where the others have no such case."""
    return pytest.mark.parametrize("line", kinds, indirect=True)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each test of this folder runs on each loop that there is."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if sys.platform != "win32":
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert("127.0.0.1", "::1", "localhost").configure_cert(context)
    return context


@pytest.fixture
async def no_sockets_left() -> AsyncIterator[None]:
    """Fails the test that leaves a task or a TCP socket behind. (uvloop opens descriptors of its own when it runs.)"""
    tasks, sockets = asyncio.all_tasks(), _open_sockets()
    yield
    async with asyncio.timeout(DEADLINE_S):
        while left := (asyncio.all_tasks() - tasks - {asyncio.current_task()}) or (_open_sockets() - sockets):
            gc.collect()
            await asyncio.sleep(0.01)
    assert not left


def _open_sockets() -> set[Any]:
    return set(psutil.Process().net_connections("tcp"))


@pytest.fixture(params=["plain", "tls", "proxied", "proxied-tls"])
async def line(
    request: pytest.FixtureRequest, no_sockets_left: None, server_tls: ssl.SSLContext, ca_file: str
) -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy()) if "proxied" in request.param else None
        yield Line(stack, tls=server_tls if "tls" in request.param else None, ca_file=ca_file, proxy=proxy)
