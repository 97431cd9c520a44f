"""What every transport makes of an answer that is as it should be."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Final

import pytest
from tests.contracts.transport.conftest import Line
from tests.receiver import Recorder
from tests.upstream import Script, Step, answer, chunk, chunked_head, in_turn

from tailrace.errors import UpstreamError

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"

ANSWERS: Final[dict[str, Script]] = {
    "length": [answer(b"hello, world")],
    "chunks": [chunked_head() + chunk(b"hello, ") + chunk(b"world") + chunk(b"")],
    "trailers": [chunked_head() + chunk(b"hello, world") + b"0\r\nX-Checksum: 1\r\nX-More: 2\r\n\r\n"],
    "extensions": [chunked_head() + b'c;a=b;c="d"\r\nhello, world\r\n' + chunk(b"")],
    "until close": [UNTIL_CLOSE + b"hello, world", Step.CLOSE],
    "HTTP/1.0": [b"HTTP/1.0 200 OK\r\n\r\nhello, world", Step.CLOSE],
    "after a 1xx": [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + answer(b"hello, world")],
    "no reason": [b"HTTP/1.1 200\r\nContent-Length: 12\r\n\r\nhello, world"],
    "gzip": [answer(gzip.compress(b"hello, world"), Content_Encoding="gzip")],
    "gzip in members": [
        answer(gzip.compress(b"hello, ") + gzip.compress(b"world") + b"\0" * 8, Content_Encoding="x-gzip")
    ],
    "deflate": [answer(zlib.compress(b"hello, world"), Content_Encoding="deflate")],
    "bare deflate": [answer(zlib.compress(b"hello, world", wbits=-15), Content_Encoding="Deflate")],
    "identity": [answer(b"hello, world", Content_Encoding="identity")],
}


@pytest.mark.parametrize("shape", ANSWERS)
async def test_body_arrives_whole(line: Line, shape: str) -> None:
    """However a body is framed or coded, the receiver gets its bytes, and the exchange ends."""
    async with line.upstream(ANSWERS[shape]) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder()
        await transport.exchange("POST", "/chat", headers={}, body=b"{}", receiver=recorder)
        assert (recorder.status, recorder.heads, recorder.body) == (200, 1, b"hello, world")


@pytest.mark.parametrize("shape", ANSWERS)
async def test_body_arrives_whole_a_byte_at_a_time(line: Line, shape: str) -> None:
    """An answer that is sent byte by byte is the same answer."""
    script: list[bytes | asyncio.Event | Step] = []
    for step in ANSWERS[shape]:
        script += [step[n : n + 1] for n in range(len(step))] if isinstance(step, bytes) else [step]
    async with line.upstream(script) as upstream:
        transport = await line.to(upstream.url)
        reply = await transport.fetch("POST", "/chat", headers={}, body=b"{}")
        assert (reply.status, reply.body) == (200, b"hello, world")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_answers_without_body(line: Line, status: str) -> None:
    """204 and 304 end with their head, whatever their headers say of a body."""
    head = f"HTTP/1.1 {status}\r\nETag: x\r\n".encode()
    async with line.upstream([head + b"Content-Length: 5\r\n\r\n" if status[0] == "3" else head + b"\r\n"]) as upstream:
        transport = await line.to(upstream.url)
        reply = await transport.fetch("GET", "/", headers={})
        assert (reply.status, reply.body) == (int(status[:3]), b"")


async def test_redirects_are_not_followed(line: Line) -> None:
    """A 3xx is a status like any other: no second request is made."""
    async with line.upstream([answer(b"", "307 Elsewhere", Location="/other")]) as upstream:
        transport = await line.to(upstream.url)
        reply = await transport.fetch("POST", "/", headers={}, body=b"{}")
        assert (reply.status, reply.headers["location"]) == (307, "/other")
        assert len(upstream.requests) == 1


async def test_pieces_arrive_as_they_are_sent(line: Line) -> None:
    """The receiver has a piece while the upstream holds back the next: nothing buffers."""
    more, end = asyncio.Event(), asyncio.Event()
    script: Script = [chunked_head() + chunk(b"one "), more, chunk(b"two "), end, chunk(b"three") + chunk(b"")]
    async with line.upstream(script) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder()
        exchange = asyncio.create_task(transport.exchange("GET", "/", headers={}, body=None, receiver=recorder))
        await recorder.holds(b"one ")
        more.set()
        await recorder.holds(b"one two ")
        assert not exchange.done()
        end.set()
        await exchange
        assert recorder.pieces == [b"one ", b"two ", b"three"]


async def test_pieces_of_one_read_are_joined(line: Line) -> None:
    """A thousand small chunks cost as many calls as they took reads, not a thousand."""
    chunks = b"".join(chunk(b"%03d," % n) for n in range(1000))
    async with line.upstream([chunked_head() + chunks + chunk(b"")]) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder()
        await transport.exchange("GET", "/", headers={}, body=None, receiver=recorder)
        assert recorder.body == b"".join(b"%03d," % n for n in range(1000))
        assert len(recorder.pieces) < 20


async def test_exchange_ends_when_the_receiver_has_enough(line: Line) -> None:
    """`True` ends the exchange though the upstream neither ends its body nor closes."""
    async with line.upstream([chunked_head() + chunk(b"data: [DONE]\n\n"), Step.STALL]) as upstream:
        transport = await line.to(upstream.url)
        recorder = Recorder(enough=b"[DONE]")
        async with asyncio.timeout(0.5):
            await transport.exchange("POST", "/", headers={}, body=b"{}", receiver=recorder)
        await upstream.closed_by(1)
        assert recorder.body == b"data: [DONE]\n\n"


async def test_second_answer_on_the_connection_belongs_to_nobody(line: Line) -> None:
    """Bytes after an answer's end are neither its body nor the next request's answer."""
    stray = answer(b"mine") + answer(b"stray", "500 No")
    async with line.upstream(in_turn([stray], [answer(b"yours")])) as upstream:
        transport = await line.to(upstream.url)
        bodies = [(await transport.fetch("GET", "/", headers={})).body for _ in range(2)]
        assert bodies == [b"mine", b"yours"]
        assert [request.connection for request in upstream.requests] == [1, 2]


async def test_request_goes_out_as_it_was_given(line: Line) -> None:
    """Method, path under the base URL's own, headers and body reach the upstream; compression is declined."""
    async with line.upstream([answer(b"ok")]) as upstream:
        transport = await line.to(f"{upstream.url}/api/v1/")
        await transport.fetch("POST", "/a%20b?c=d", headers={"Authorization": "Bearer key"}, body=b'{"a":1}')
    (request,) = upstream.requests
    assert (request.method, request.target, request.body) == ("POST", "/api/v1/a%20b?c=d", b'{"a":1}')
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-length"] == "7"
    assert request.headers["host"] == f"127.0.0.1:{upstream.port}"


async def test_no_body_is_said_to_be_empty_where_one_is_usual(line: Line) -> None:
    """A POST without a body says so by its length; a GET says nothing."""
    async with line.upstream([answer(b"ok")]) as upstream:
        transport = await line.to(upstream.url)
        for method in ("POST", "GET"):
            await transport.fetch(method, "/", headers={})
    assert [request.headers.get("content-length") for request in upstream.requests] == ["0", None]


async def test_big_request_bodies_are_sent(line: Line) -> None:
    """32 MiB go up whole."""
    body = bytes(range(256)) * (32 << 12)
    async with line.upstream([answer(b"ok")]) as upstream:
        transport = await line.to(upstream.url)
        reply = await transport.fetch("POST", "/", headers={}, body=body)
        assert reply.body == b"ok"
        assert upstream.requests[0].body == body


async def test_repeated_and_empty_headers(line: Line) -> None:
    """Values of one name are joined, an empty one stays empty, names are lower-case."""
    head = b"HTTP/1.1 200 OK\r\nX-Many: a\r\nx-many: b\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n"
    async with line.upstream([head]) as upstream:
        transport = await line.to(upstream.url)
        reply = await transport.fetch("GET", "/", headers={})
        assert reply.headers == {"x-many": "a, b", "x-empty": "", "content-length": "0"}


async def test_fetch_refuses_more_than_its_limit(line: Line) -> None:
    """An answer of just `max_bytes` is a reply; one byte more is `too_long`."""
    async with line.upstream([answer(b"x" * 1000)]) as upstream:
        transport = await line.to(upstream.url)
        assert len((await transport.fetch("GET", "/", headers={}, max_bytes=1000)).body) == 1000
        with pytest.raises(UpstreamError) as caught:
            await transport.fetch("GET", "/", headers={}, max_bytes=999)
        assert caught.value.code == "too_long"


async def test_many_exchanges_at_once(line: Line) -> None:
    """Exchanges beside each other don't mix: each gets the answer to its own request."""
    async with line.upstream(lambda request: [answer(request.target.encode())]) as upstream:
        transport = await line.to(upstream.url)
        replies = await asyncio.gather(*(transport.fetch("GET", f"/{n}", headers={}) for n in range(50)))
        assert [reply.body for reply in replies] == [b"/%d" % n for n in range(50)]


async def test_max_connections_makes_exchanges_wait(line: Line) -> None:
    """With a maximum of two, ten exchanges never have more than two requests under way."""
    gates = [asyncio.Event() for _ in range(10)]
    scripts: list[Script] = [[gate, answer(b"ok")] for gate in gates]
    async with line.upstream(in_turn(*scripts)) as upstream:
        transport = await line.to(upstream.url, max_connections=2)
        exchanges = [asyncio.create_task(transport.fetch("GET", "/", headers={})) for _ in gates]
        for answered, gate in enumerate(gates):
            await upstream.requested(min(answered + 2, len(gates)))
            assert len(upstream.requests) <= answered + 2
            gate.set()
        await asyncio.gather(*exchanges)


async def test_ipv6_literals(line: Line) -> None:
    """A bracketed IPv6 address is a host like any other."""
    async with line.upstream([answer(b"six")], host="::1") as upstream:
        transport = await line.to(upstream.url)
        assert (await transport.fetch("GET", "/", headers={})).body == b"six"
        assert upstream.requests[0].headers["host"] == f"[::1]:{upstream.port}"
