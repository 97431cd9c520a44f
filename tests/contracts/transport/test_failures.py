"""What every transport makes of an upstream that fails: a named error, with all that came before it handed on."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from tests.contracts.transport.conftest import Line, over
from tests.receiver import Recorder
from tests.upstream import Script, ScriptedUpstream, Step, answer, chunk, chunked_head

from tailrace.errors import FailureCode, UpstreamError

LENGTH_20 = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"

CUT: Final[dict[str, Script]] = {
    "length, then its end": [LENGTH_20 + b"partial", Step.CLOSE],
    "chunks, then its end": [chunked_head() + chunk(b"partial"), Step.CLOSE],
    "in a chunk's size": [chunked_head() + chunk(b"partial") + b"1", Step.CLOSE],
    "in the trailers": [chunked_head() + chunk(b"partial") + b"0\r\nX-T", Step.CLOSE],
    "in the head": [b"HTTP/1.1 200 OK\r\nContent-Le", Step.CLOSE],
    "before the head": [Step.CLOSE],
    "after a 1xx": [b"HTTP/1.1 100 Continue\r\n\r\n", Step.CLOSE],
    "gzip, then its end": [answer(gzip.compress(b"partial" * 9)[:-8], Content_Encoding="gzip")],
}

INVALID: Final[dict[str, Script]] = {
    "no HTTP": [b"220 mail.example.com ESMTP\r\n"],
    "HTTP/0.9": [b"<html>hello</html>"],
    "two lengths": [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    "length and chunks": [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    "no number of a length": [b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n"],
    "switched protocols": [b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n"],
    "unasked coding": [answer(b"\x0b\x02\x80hello\x03", Content_Encoding="br")],
    "257 headers": [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 257 + b"Content-Length: 0\r\n\r\n"],
    "two headers of 40 KiB": [b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 40_000 + b"\r\n") * 2 + b"\r\n"],
    "a header of 16 MB": [b"HTTP/1.1 200 OK\r\nX: ", *[b"y" * 1_000_000] * 16, b"\r\n\r\n"],
}


@contextmanager
def raises(code: FailureCode, *words: str) -> Iterator[None]:
    """An UpstreamError of this code, whose message has these words."""
    with pytest.raises(UpstreamError) as caught:
        yield
    assert caught.value.code == code
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize("shape", CUT)
async def test_answer_that_breaks_off_is_cut(line: Line, shape: str) -> None:
    """An answer that ends, orderly or malformed, before its framing or coding does is `upstream_cut`, never whole."""
    async with line.upstream(CUT[shape]) as upstream:
        transport = await line.to(upstream.url)
        with raises("upstream_cut", f"127.0.0.1:{upstream.port}"):
            await transport.exchange("POST", "/", headers={}, body=b"{}", receiver=Recorder())
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("head", [LENGTH_20, chunked_head() + b"14\r\n", UNTIL_CLOSE], ids=["length", "chunks", "end"])
async def test_reset_in_the_body_is_cut(line: Line, head: bytes) -> None:
    """A reset in mid-token is `upstream_cut` whatever the framing, and what came before it was handed on."""
    received = asyncio.Event()
    async with line.upstream([head + b"partial", received, Step.RESET]) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder()
        exchange = asyncio.create_task(transport.exchange("GET", "/", headers={}, body=None, receiver=recorder))
        await recorder.holds(b"partial")
        received.set()
        with raises("upstream_cut"):
            await exchange


async def test_malformed_chunk_is_cut(line: Line) -> None:
    """Framing that breaks in the body is `upstream_cut`, and what came before it was handed on."""
    received = asyncio.Event()
    async with line.upstream([chunked_head() + chunk(b"partial"), received, b"zz\r\nx", Step.STALL]) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder()
        exchange = asyncio.create_task(transport.exchange("GET", "/", headers={}, body=None, receiver=recorder))
        await recorder.holds(b"partial")
        received.set()
        with raises("upstream_cut", f"127.0.0.1:{upstream.port}"):
            await exchange
        await upstream.closed_by(1)


@pytest.mark.parametrize("shape", INVALID)
async def test_what_is_not_http_is_invalid(line: Line, shape: str) -> None:
    """Bytes that are no HTTP answer, or one beyond all bounds, are `upstream_invalid` and close the connection."""
    async with line.upstream([*INVALID[shape], Step.STALL]) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder()
        with raises("upstream_invalid", f"127.0.0.1:{upstream.port}"):
            await transport.exchange("POST", "/", headers={}, body=b"{}", receiver=recorder)
        await upstream.closed_by(1)
        assert recorder.heads == 0


async def test_broken_compression_is_cut(line: Line) -> None:
    """What can't be inflated is `upstream_cut`; what could be was handed on."""
    whole = gzip.compress(b"hello")
    async with line.upstream([answer(whole[:-8] + b"\xff" * 8, Content_Encoding="gzip")]) as upstream:
        transport = await line.to(upstream.url)
        with raises("upstream_cut", "compression"):
            await transport.fetch("GET", "/", headers={})


async def test_gzip_bomb_meets_the_receivers_limit(line: Line) -> None:
    """64 MiB of zeros in 64 KB are inflated 1 MiB at a time, and no further than the receiver allows."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(64)), packer.flush()])

    class Bounded(Recorder):
        def body_received(self, data: bytes) -> bool:
            super().body_received(data)
            if len(self.body) > 3 << 20:
                raise OverflowError("enough")
            return False

    bounded = Bounded()
    async with line.upstream([answer(bomb, Content_Encoding="gzip")]) as upstream:
        transport = await line.to(upstream.url)
        with pytest.raises(OverflowError):
            await transport.exchange("GET", "/", headers={}, body=None, receiver=bounded)
    assert len(bounded.body) <= 4 << 20
    assert max(map(len, bounded.pieces)) <= 1 << 20


@over("plain", "tls", "proxied-tls")
async def test_refused_connection(line: Line) -> None:
    """Nobody listens: `upstream_error` that says so (a proxy, by its status) and names host and port."""
    async with line.upstream([]) as upstream:
        port = upstream.port
    transport = await line.to(f"{line.scheme}://127.0.0.1:{port}")
    with raises("upstream_error", f"127.0.0.1:{port}", "502" if line.proxy else "refused"):
        await transport.fetch("GET", "/", headers={})


@over("plain", "tls", "proxied-tls")
async def test_unknown_name(line: Line) -> None:
    """A host that has no address: `upstream_error` naming it."""
    transport = await line.to(f"{line.scheme}://nowhere.invalid/v1")
    with raises("upstream_error", "nowhere.invalid"):
        await transport.fetch("GET", "/", headers={})


@over("proxied")
async def test_plain_requests_leave_connecting_to_the_proxy(line: Line) -> None:
    """For http the proxy makes the connection, and its refusal is an answer like any other."""
    transport = await line.to("http://nowhere.invalid/v1")
    assert (await transport.fetch("GET", "/", headers={})).status == 502


async def test_silent_connecting_times_out(line: Line) -> None:
    """A peer that accepts but never answers the TLS greeting: `connect_timeout` after `connect_s`, socket closed."""
    async with ScriptedUpstream([]) as upstream:
        transport = await line.to(f"https://127.0.0.1:{upstream.port}", connect_s=0.2)
        with raises("connect_timeout", f"127.0.0.1:{upstream.port}", "0.2 s"):
            await transport.fetch("GET", "/", headers={})
        await upstream.closed_by(1)


@over("plain", "tls")
async def test_address_that_swallows_connections_times_out(line: Line) -> None:
    """A listener whose backlog is full never completes TCP's handshake: `connect_timeout`."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        transport = await line.to(f"{line.scheme}://127.0.0.1:{full.getsockname()[1]}", connect_s=0.2)
        with raises("connect_timeout"):
            await transport.fetch("GET", "/", headers={})


@over("tls", "proxied-tls")
async def test_untrusted_certificate(line: Line) -> None:
    """A certificate of an authority that nobody named: `upstream_error` that says so, and no request is sent."""
    async with line.upstream([answer(b"secret")]) as upstream:
        transport = await line.to(upstream.url, trusting=False)
        with raises("upstream_error", f"127.0.0.1:{upstream.port}", "certificate"):
            await transport.fetch("GET", "/", headers={})
        assert not upstream.requests


@over("tls", "proxied-tls")
async def test_certificate_for_another_name(line: Line) -> None:
    """A trusted certificate for other names: `upstream_error`."""
    async with line.upstream([answer(b"secret")], host="127.0.0.2") as upstream:
        transport = await line.to(upstream.url)
        with raises("upstream_error", f"127.0.0.2:{upstream.port}", "127.0.0.2"):
            await transport.fetch("GET", "/", headers={})
        assert not upstream.requests


@pytest.mark.parametrize("step", [b"HTTP/1.1 400 Bad Request\r\n\r\n", Step.CLOSE, Step.RESET], ids=str)
async def test_tls_with_a_server_that_has_none(line: Line, step: bytes | Step) -> None:
    """A server that answers the TLS greeting in plain text, or hangs up: `upstream_error`."""
    greeted = asyncio.Event()
    async with ScriptedUpstream([], greeting=[greeted, step]) as upstream:
        transport = await line.to(f"https://127.0.0.1:{upstream.port}")
        exchange = asyncio.create_task(transport.fetch("GET", "/", headers={}))
        await upstream.puzzled()
        greeted.set()
        with raises("upstream_error", f"127.0.0.1:{upstream.port}"):
            await exchange


@over("tls")
async def test_tls_that_ends_without_farewell_is_cut(line: Line) -> None:
    """Where only the connection's end ends a body, TLS must say that it is the end; else anyone could shorten it."""
    received = asyncio.Event()
    async with line.upstream([UNTIL_CLOSE + b"partial", received, Step.DROP]) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder()
        exchange = asyncio.create_task(transport.exchange("GET", "/", headers={}, body=None, receiver=recorder))
        await recorder.holds(b"partial")
        received.set()
        with raises("upstream_cut"):
            await exchange


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {"X-Key": "canary\r\nX-Other: 1"}),
        ("GET", "/", {"X-Key": "canary\u2026"}),
        ("GET", "/", {"X Key": "1"}),
        ("GET", "/", {"Content-Length": "5"}),
        ("GET", "/", {"transfer-encoding": "chunked"}),
        ("GET", "/a b", {}),
        ("GET", "v1", {}),
        ("GET", "/\r\nX: 1", {}),
        ("HEAD", "/", {}),
        ("GET /", "/", {}),
    ],
)
async def test_requests_that_would_break_their_framing(
    line: Line, method: str, path: str, headers: dict[str, str]
) -> None:
    """Line breaks, framing headers and raw paths are a ValueError that quotes no header's value; nothing is sent."""
    async with line.upstream([answer()]) as upstream:
        transport = await line.to(upstream.url)
        with pytest.raises(ValueError, match=r"header|path|method") as caught:
            await transport.fetch(method, path, headers=headers)
        assert "canary" not in str(caught.value)
        assert upstream.connections == 0
