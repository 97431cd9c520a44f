"""The transport by way of a proxy: what a proxy may do beside passing things on."""

from __future__ import annotations

import base64

import pytest
from tests.proxy import Proxy
from tests.upstream import ScriptedUpstream, answer

from tailrace.errors import UpstreamError
from tailrace.providers.transport import Reply, create_transport

pytestmark = pytest.mark.usefixtures("no_leaks")


async def fetch(url: str, proxy: str, connect_s: float = 5.0) -> Reply:
    transport = create_transport(url, connect_s=connect_s, proxy=proxy)
    await transport.open()
    try:
        return await transport.fetch("GET", "/v1/models", headers={})
    finally:
        await transport.close()


async def test_plain_requests_name_their_target_in_full() -> None:
    """For http the proxy gets the whole URL, and the upstream its path."""
    async with ScriptedUpstream([answer(b"ok")]) as upstream, Proxy() as proxy:
        assert (await fetch(upstream.url, proxy.url)).body == b"ok"
        assert proxy.asked == [f"GET {upstream.url}/v1/models HTTP/1.1"]
        assert upstream.requests[0].target == "/v1/models"


async def test_https_goes_through_a_tunnel() -> None:
    """For https the proxy is asked for a tunnel, and its refusal is `upstream_error` with its status."""
    async with Proxy(status=403) as proxy:
        with pytest.raises(UpstreamError, match="refused with the status 403") as caught:
            await fetch("https://api.example.com", proxy.url)
        assert caught.value.code == "upstream_error"
        assert proxy.asked == ["CONNECT api.example.com:443 HTTP/1.1"]


async def test_credentials() -> None:
    """User and password of the proxy's URL are sent to it, and to nobody else."""
    credentials = "Basic " + base64.b64encode(b"user:canary").decode()
    async with ScriptedUpstream([answer(b"ok")]) as upstream, Proxy(credentials=credentials) as proxy:
        url = f"http://user:canary@127.0.0.1:{proxy.port}"
        assert (await fetch(upstream.url, url)).body == b"ok"


async def test_wrong_credentials() -> None:
    """A proxy that wants others is `upstream_error`, and no message quotes them."""
    async with Proxy(credentials="Basic other") as proxy:
        url = f"http://user:canary@127.0.0.1:{proxy.port}"
        with pytest.raises(UpstreamError, match="407") as caught:
            await fetch("https://api.example.com", url)
        assert "canary" not in str(caught.value)


async def test_proxy_that_is_not_there() -> None:
    """A proxy that refuses connections is `upstream_error` naming it, without its password."""
    async with Proxy() as proxy:
        port = proxy.port
    with pytest.raises(UpstreamError, match=f"by way of the proxy 127.0.0.1:{port}") as caught:
        await fetch("http://api.example.com", f"http://user:canary@127.0.0.1:{port}")
    assert caught.value.code == "upstream_error"
    assert "canary" not in str(caught.value)


async def test_proxy_that_says_nothing() -> None:
    """A proxy that takes the connection and never opens the tunnel is `connect_timeout`."""
    async with Proxy(silent=True) as proxy:
        with pytest.raises(UpstreamError) as caught:
            await fetch("https://api.example.com", proxy.url, connect_s=0.2)
        assert caught.value.code == "connect_timeout"
