"""What a client may send, and how slowly: real sockets against a server in a process of its own."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.web.process import DEADLINE_S, ServedApp, parse, read_all, read_to_end, serving, until

LIMITS = {"HEAD": 0.5, "BODY": 0.5, "DISCARD": 0.5, "LINGER": 0.5, "IDLE": 1.0}
HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def served(request: pytest.FixtureRequest) -> Iterator[ServedApp]:
    """An app whose limits are over soon."""
    with serving(limits=LIMITS, loop=request.param) as app:
        yield app


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def patient(request: pytest.FixtureRequest) -> Iterator[ServedApp]:
    """One with the limits that users get."""
    with serving(loop=request.param) as app:
        yield app


def test_a_full_head_passes(patient: ServedApp) -> None:
    """A head just below both bounds is served."""
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 200) for number in range(250))
    status, body = patient.exchange(HEAD + lines + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi")
    assert status == 200
    assert json.loads(body)["body_bytes"] == 2


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(b"X: " + b"v" * 70_000 + b"\r\n", id="one long header"),
        pytest.param(b"X" * 70_000 + b": v\r\n", id="one long name"),
        pytest.param(b"X: " + b"v" * 5_000_000, id="a header without an end"),
        pytest.param(b"".join(b"X-%d: v\r\n" % number for number in range(300)), id="many lines"),
        pytest.param(b"X: v\r\n" * 20_000, id="20,000 lines"),
        pytest.param(b"".join(b"X-%d: %s\r\n" % (n, b"v" * 1000) for n in range(70)), id="much in all"),
    ],
)
def test_a_large_head_is_refused(patient: ServedApp, lines: bytes) -> None:
    """A head over 64 KiB or 256 lines gets 431 as problem JSON and the end, and the client can read it."""
    status, body = patient.exchange(HEAD + lines + b"\r\n")
    assert status == 431
    assert json.loads(body)["code"] == "headers_too_large"


def test_a_long_target_is_refused(patient: ServedApp) -> None:
    """The request's line counts for the head's size."""
    assert patient.exchange(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 431


def test_a_large_head_does_not_fill_the_memory(patient: ServedApp) -> None:
    """A head of 16 MB is thrown away as it comes, and the server goes on serving."""
    before = patient.memory()
    with patient.connect() as connection, suppress(OSError):
        connection.sendall(HEAD)
        for _ in range(256):
            connection.sendall(b"X: " + b"v" * 65536)
        assert parse(read_all(connection))[0] == 431
    assert patient.memory() - before < 4 * 2**20
    assert patient.get("/echo")[0] == 200


def test_trailers_are_bounded_and_never_pass_for_headers(patient: ServedApp) -> None:
    """A trailer after a chunked body is not among the headers; too many are refused."""
    start = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
    status, body = patient.exchange(start + b"X-API-Key: forged\r\n\r\n")
    assert status == 200
    assert "x-api-key" not in dict(json.loads(body)["headers"])
    with patient.connect() as connection:
        connection.sendall(start + b"X: " + b"v" * 300_000)
        assert read_to_end(connection) == b""


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(b"Content-Length: 2\r\nContent-Length: 2\r\n", id="two equal lengths"),
        pytest.param(b"Content-Length: 2\r\nContent-Length: 3\r\n", id="two lengths"),
        pytest.param(b"Content-Length: 2, 2\r\n", id="two lengths in a line"),
        pytest.param(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", id="length, then encoding"),
        pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", id="encoding, then length"),
        pytest.param(b"Transfer-Encoding: chunked, gzip\r\n", id="chunked not last"),
        pytest.param(b"Transfer-Encoding : chunked\r\n", id="blank before the colon"),
        pytest.param(b"Content-Length: +2\r\n", id="a signed length"),
        pytest.param(b"X: a\x00b\r\n", id="a NUL"),
        pytest.param(b"No colon here\r\n", id="no colon"),
    ],
)
def test_ambiguous_heads_are_refused(patient: ServedApp, lines: bytes) -> None:
    """What a proxy in front could read otherwise than we do gets 400 and the end."""
    status, body = patient.exchange(HEAD + lines + b"\r\nhi")
    assert status == 400
    assert json.loads(body)["code"] == "malformed_http"


def test_a_slow_head_is_refused(served: ServedApp) -> None:
    """A head that trickles in is refused with 408, though each byte comes in good time."""
    with served.connect() as connection:
        connection.setblocking(False)
        received = trickle(connection, HEAD + b"X: " + b"v" * 1000)
        assert parse(received)[0] == 408
        assert b"headers_timeout" in received


def test_a_connection_that_asks_nothing_is_closed(served: ServedApp) -> None:
    """A connection on which no request ever begins is closed, also where empty lines keep coming."""
    with served.connect() as silent, served.connect() as chatty:
        chatty.setblocking(False)
        assert trickle(chatty, b"\r\n" * 1000) == b""
        assert silent.recv(1) == b""


def test_a_body_that_stalls_is_cut_off(served: ServedApp) -> None:
    """A body that stops in its middle loses its connection."""
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 10\r\n\r\nhalf")
        assert read_to_end(connection) == b""


def test_a_slow_body_that_goes_on_is_read(served: ServedApp) -> None:
    """A body may take longer than a pause may, as long as pieces keep coming."""
    with served.connect() as connection:
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: 12\r\n\r\n")
        for piece in b"12 bytes now":
            connection.sendall(bytes([piece]))
            time.sleep(0.25)  # the pace is what is tested
        status, body = parse(read_all(connection))
        assert (status, json.loads(body)["body_bytes"]) == (200, 12)


def test_the_rest_of_a_refused_body_is_not_read_for_ever(served: ServedApp) -> None:
    """After an answer that came before the body's end, what still comes is thrown away for a bounded time."""
    with served.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert parse(until(connection, b"{}"))[0] == 401
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            send_for_ever(connection)


def test_an_early_answer_keeps_the_connection(served: ServedApp) -> None:
    """A small body that comes after its answer costs nothing: the next request is served."""
    with served.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        assert parse(until(connection, b"{}"))[0] == 401
        connection.sendall(b"hiGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert parse(until(connection, b"}"))[0] == 200


def test_pipelined_requests_are_answered_in_order(served: ServedApp) -> None:
    """Requests sent ahead are each answered, the bounds counted for each alone."""
    one = b"GET /echo HTTP/1.1\r\nHost: x\r\nX: " + b"v" * 40_000 + b"\r\n\r\n"
    last = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(one + one + last)
        received = read_all(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 3


def test_nonsense_during_an_answer_is_never_answered_into_it(served: ServedApp) -> None:
    """Bytes that are no request, sent while a stream runs, end the stream; no second answer stands in its midst."""
    with served.connect() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        received = until(connection, b"first\n")
        connection.sendall(b"\x00nonsense\r\n\r\n")
        received += read_to_end(connection)
    assert received.count(b"HTTP/1.1") == 1
    assert served.line() == "reader gone"


def test_a_half_closed_connection_counts_as_leaving(served: ServedApp) -> None:
    """The app hears that its reader has left when the reader's half is closed."""
    with served.connect() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        until(connection, b"first\n")
        connection.shutdown(socket.SHUT_WR)
        assert served.line() == "reader gone"


def test_a_half_closed_connection_counts_as_leaving_while_it_takes_nothing(served: ServedApp) -> None:
    """The app hears of it also while the reader's socket is full."""
    with served.connect() as connection:
        connection.sendall(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        assert served.line() == "socket full"
        connection.shutdown(socket.SHUT_WR)
        assert served.line() == "reader gone"


def test_the_app_can_abort_its_connection(served: ServedApp) -> None:
    """`tailrace.connection` in the scope closes the connection at once."""
    with served.connect() as connection:
        connection.sendall(b"GET /abort HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"0\r\n\r\n" not in read_to_end(connection)


def test_an_offered_upgrade_is_ignored(served: ServedApp) -> None:
    """A client that offers HTTP/2 or WebSocket gets a plain answer."""
    offer = b"Connection: upgrade, close\r\nUpgrade: h2c\r\n"
    assert served.exchange(b"GET /readyz HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n")[0] == 200


def trickle(connection: socket.socket, data: bytes) -> bytes:
    """Send byte after byte until the other side closes; what it said."""
    received, deadline = b"", time.monotonic() + DEADLINE_S
    for byte in data:
        assert time.monotonic() < deadline, "it was never closed"
        try:
            connection.send(bytes([byte]))
            piece = connection.recv(65536)
        except BlockingIOError:
            time.sleep(0.05)  # the pace is what is tested
            continue
        except OSError:
            break
        if not piece:
            break
        received += piece
    return received


def send_for_ever(connection: socket.socket) -> None:
    """Send until it fails."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        connection.sendall(bytes(1000))
        time.sleep(0.01)  # a bounded load
