"""The transport by way of an HTTP proxy: aiohttp does the talking, `CONNECT` for https included."""

from __future__ import annotations

import asyncio
import functools
import io
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from tailrace.errors import UpstreamError
from tailrace.providers.transport.base import Receiver, Transport
from tailrace.providers.transport.codings import open_coding
from tailrace.providers.transport.origin import Origin
from tailrace.providers.transport.requests import check_headers, check_target
from tailrace.providers.transport.responses import MAX_HEAD_BYTES, MAX_HEAD_LINES

_AUTOMATIC: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_BIG_BYTES: Final = 1 << 20


def parse_proxy(url: str) -> URL:
    """Read a proxy's URL, which may hold a user name and a password. Raises ValueError, which never quotes it."""
    try:
        proxy = URL(url)
    except ValueError:
        raise ValueError("is not a URL; expected http://host:port") from None
    if proxy.scheme != "http" or not proxy.host or proxy.path not in {"", "/"} or proxy.query_string or proxy.fragment:
        raise ValueError("must be http://host:port, with user:password@ before the host if it asks for them")
    return proxy


class _Handler(ResponseHandler):
    """Closes by aborting: a polite TLS close would wait for the peer, an unsent request for its reader."""

    def close(self) -> None:
        self.abort()


class ProxiedTransport(Transport):
    """Exchanges through a proxy, each on a connection of its own.

    aiohttp can say neither that a kept-alive connection died before it was used nor that it brought bytes that
    nobody asked for, so none is kept. Bytes that came in the same turn of the loop as a cut are lost with it.
    """

    def __init__(
        self,
        origin: Origin,
        proxy: URL,
        *,
        connect_s: float,
        tls: ssl.SSLContext | None = None,
        max_connections: int | None = None,
    ) -> None:
        self._where = f"{origin} by way of the proxy {proxy.host}:{proxy.port}"
        self._base = f"{origin.scheme}://{origin.netloc}{origin.prefix}"
        self._proxy = proxy
        self._connect_s = connect_s
        self._tls = tls
        self._limits: set[asyncio.Timeout] = set()
        self._slots = asyncio.Semaphore(max_connections) if max_connections else nullcontext()

    async def open(self) -> None:
        connector = aiohttp.TCPConnector(force_close=True, limit=0, ssl=self._tls or True)
        handler: type[ResponseHandler] = _Handler
        connector._factory = functools.partial(handler, loop=asyncio.get_running_loop())
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_s, sock_connect=self._connect_s),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_HEAD_LINES,
        )

    async def close(self) -> None:
        # aiohttp wakes nobody who waits for a body that it closes.
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
        await self._session.close()

    async def exchange(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, receiver: Receiver
    ) -> None:
        check_target(method, path)
        check_headers(headers)
        async with self._until_closed(), self._slots:
            response = await self._ask(method, path, headers, body)
            try:
                await self._hand_on(response, receiver)
            finally:
                response.close()

    @asynccontextmanager
    async def _until_closed(self) -> AsyncIterator[None]:
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._limits.add(limit)
                yield
        except TimeoutError:
            if limit.expired():
                raise UpstreamError("upstream_cut", f"the transport to {self._where} was closed") from None
            raise
        finally:
            self._limits.discard(limit)

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        try:
            return await self._session.request(
                method,
                URL(self._base + path, encoded=True),
                headers={"accept-encoding": "identity", **headers},
                # aiohttp warns of big bytes, and sends a file's in pieces.
                data=io.BytesIO(body) if body and len(body) > _BIG_BYTES else body,
                proxy=self._proxy,
                allow_redirects=False,
            )
        except aiohttp.ClientError as error:
            raise self._failure(error) from error

    async def _hand_on(self, response: aiohttp.ClientResponse, receiver: Receiver) -> None:
        head = self._head(response)
        inflater = open_coding(head, receiver, self._where)
        receive = receiver.body_received if inflater is None else inflater.feed
        receiver.response_started(response.status, head)
        protocol = response.connection and response.connection.protocol
        if protocol is not None:
            _wake_at_loss(protocol, response.content)
        while data := await self._read(response):
            if receive(data):
                return
        if protocol is not None and isinstance(protocol.exception(), OSError):
            # A body that lasts until the connection's end has one, for aiohttp, after a reset too.
            raise self._cut(protocol.exception())
        if inflater is not None:
            inflater.end()

    def _head(self, response: aiohttp.ClientResponse) -> dict[str, str]:
        if sum(len(name) + len(value) + 4 for name, value in response.raw_headers) > MAX_HEAD_BYTES:
            raise UpstreamError("upstream_invalid", f"{self._where} answered with a head of over 64 KiB or 256 lines")
        if response.status < 200:
            raise UpstreamError("upstream_invalid", f"{self._where} answered with the status {response.status}")
        head: dict[str, str] = {}
        for name, value in response.headers.items():
            key = name.lower()
            head[key] = f"{head[key]}, {value}" if key in head else value
        return head

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await response.content.readany()
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise self._cut(error) from error

    def _cut(self, error: BaseException | None) -> UpstreamError:
        return UpstreamError(
            "upstream_cut", f"{self._where} closed the connection before its answer was whole ({error})"
        )

    def _failure(self, error: aiohttp.ClientError) -> UpstreamError:
        match error:
            case aiohttp.ServerTimeoutError():
                message = f"no connection to {self._where} within {self._connect_s:g} s"
                return UpstreamError("connect_timeout", message)
            case aiohttp.ClientHttpProxyError():
                message = f"no connection to {self._where}, which refused with the status {error.status}"
                return UpstreamError("upstream_error", message)
            case aiohttp.ClientConnectorError():
                return UpstreamError("upstream_error", f"no connection to {self._where}: {error.os_error}")
            case aiohttp.ClientResponseError():
                message = f"{self._where} answered with something that is not HTTP/1 ({error.message})"
                return UpstreamError("upstream_invalid", message)
            case _:
                return self._cut(error)


def _wake_at_loss(protocol: ResponseHandler, content: aiohttp.StreamReader) -> None:
    """End `content` with its connection: after a malformed chunk aiohttp (3.14) closes, and wakes no reader."""

    def wake() -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("malformed"))

    def hear(closed: asyncio.Future[None]) -> None:
        if not closed.cancelled():
            closed.exception()  # asked for, or asyncio complains that nobody did
        wake()

    closed = protocol.closed
    if closed is None:
        wake()
    else:
        closed.add_done_callback(hear)
