"""How the server starts, tells and stops: real signals to a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.process import ServedApp, parse, read_all, serving, until
from tests.web.served import App

from tailrace.errors import SettingsError
from tailrace.settings import ServerSettings, Settings
from tailrace.web.listeners import bind
from tailrace.web.server import build_config


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_before_the_listeners_close(number: signal.Signals) -> None:
    """While streams end the server still listens and is not ready; then readers get their last bytes, and exit is 0."""
    with serving() as app, app.connect() as reader:
        open_stream(reader)
        app.signal(number)
        assert app.line() == "draining"
        assert app.get("/readyz") == (503, {"draining": True})
        assert app.get("/release")[0] == 200
        assert b"last\n" in read_all(reader)
        assert [app.line() for _ in range(3)] == ["stream released", "lifespan.shutdown", "ended forced=False"]
        assert app.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            app.connect()


def test_the_drain_time_bounds_the_stop() -> None:
    """Streams that do not end are told when the drain time is over; a reader that takes nothing holds nobody up."""
    with serving(drain_s=0.2, flush_s=0.5) as app, app.connect() as reader:
        reader.sendall(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        assert app.line() == "socket full"
        app.signal(signal.SIGTERM)
        assert [app.line() for _ in range(3)] == ["draining", "drain time over", "reader gone"]
        assert app.line() == "lifespan.shutdown"
        assert app.wait() == 0


def test_a_second_sigint_ends_at_once() -> None:
    """Ctrl-C twice does not wait for the streams; the app is shut down all the same."""
    with serving() as app, app.connect() as reader:
        open_stream(reader)
        app.signal(signal.SIGINT)
        assert app.line() == "draining"
        app.signal(signal.SIGINT)
        assert [app.line() for _ in range(3)] == ["reader gone", "lifespan.shutdown", "ended forced=True"]
        assert app.wait() == 0


def test_a_second_sigterm_changes_nothing() -> None:
    """An impatient supervisor does not cut the streams."""
    with serving() as app:
        app.signal(signal.SIGTERM)
        assert app.line() == "draining"
        app.signal(signal.SIGTERM)
        assert app.get("/release")[0] == 200
        assert app.wait() == 0


def test_idle_connections_do_not_delay_the_stop() -> None:
    """A kept-alive connection is closed, not waited for."""
    with serving(drain_s=0.0) as app, app.connect() as idle:
        idle.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        until(idle, b"}")
        app.signal(signal.SIGTERM)
        assert read_all(idle) == b""
        assert app.wait() == 0


def test_the_servers_own_send_is_handed_down(served: ServedApp) -> None:
    """`tailrace.send` in the scope is the send that the server gave, before anything wrapped it."""
    assert served.get("/echo")[1]["own_send"] is True


def test_answers_do_not_name_the_server(served: ServedApp) -> None:
    """No `server` header tells what runs here; the date is told."""
    with served.connect() as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = read_all(connection).partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nserver:" not in head
    assert b"\r\ndate:" in head


def test_forwarded_headers_are_not_believed(served: ServedApp) -> None:
    """`X-Forwarded-*` changes neither the client nor the scheme: whom to trust is the app's to say."""
    forged = b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
    _, body = served.exchange(b"GET /echo HTTP/1.1\r\nHost: x\r\n" + forged)
    seen = json.loads(body)
    assert (seen["client"], seen["scheme"]) == ("127.0.0.1", "http")
    assert ["x-forwarded-for", "9.9.9.9"] in seen["headers"]


def test_the_log_is_json_without_query_strings() -> None:
    """Away from a terminal each line is one JSON object; an access line has no query, and nothing forges a line."""
    with serving() as app:
        app.get("/echo?token=canary")
        app.exchange(b"GET /fail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        app.signal(signal.SIGTERM)
        app.get("/release")
        assert app.wait() == 0
        log = app.log()
    lines = [json.loads(line) for line in log.splitlines()]
    access = next(line for line in lines if line["event"] == "request")
    assert (access["method"], access["path"], access["status"], access["level"]) == ("GET", "/echo", 200, "info")
    assert "forged" in next(line for line in lines if "exception" in line)["exception"]
    assert "canary" not in log
    assert "\x1b" not in log


def test_above_info_no_access_line_is_written() -> None:
    """With the level at warning an ordinary request leaves no trace in the log."""
    with serving(log_level="warning", drain_s=0.0) as app:
        app.get("/echo")
        app.signal(signal.SIGTERM)
        assert app.wait() == 0
        assert app.log() == ""


def test_the_root_path_reaches_the_app() -> None:
    """A prefix that a proxy strips is part of the path that the app sees."""
    with serving(root_path="/ai") as app:
        seen = app.get("/echo")[1]
    assert (seen["root_path"], seen["path"]) == ("/ai", "/ai/echo")


def test_tls(certificate: tuple[Path, Path]) -> None:
    """With a certificate and its key the server speaks TLS 1.2 or above, and bounds heads there too."""
    cert, key = certificate
    with serving(tls_cert=str(cert), tls_key=str(key)) as app:
        assert app.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(cert))
        for lines, expected in ((b"", 200), (b"X: " + b"v" * 70_000 + b"\r\n", 431)):
            with context.wrap_socket(app.connect(), server_hostname="localhost") as connection:
                connection.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + lines + b"\r\n")
                assert connection.version() in ("TLSv1.2", "TLSv1.3")
                assert parse(read_all(connection))[0] == expected


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    """A file that holds no certificate is refused with the flag's name."""
    wrong = tmp_path / "cert.pem"
    wrong.write_text("not a certificate")
    settings = Settings(server=ServerSettings(tls_cert=wrong, tls_key=wrong))
    with pytest.raises(SettingsError, match=r"--tls-cert: the certificate and its key can't be used"):
        build_config(App(), settings)


def test_a_port_in_use_is_refused() -> None:
    """A port that another server listens on is refused with the address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{port}: can't listen there: .*in use"):
            bind("127.0.0.1", port)


def test_a_host_that_is_none_is_refused() -> None:
    """An address that this machine does not have is refused."""
    with pytest.raises(SettingsError, match="can't listen there"):
        bind("192.0.2.1", 0)


def test_every_address_of_a_host_gets_the_same_port() -> None:
    """`localhost` with port 0 is one port on each of its addresses."""
    sockets = bind("localhost", 0)
    try:
        assert len({listener.getsockname()[1] for listener in sockets}) == 1
    finally:
        for listener in sockets:
            listener.close()


@pytest.fixture(scope="module")
def served() -> Iterator[ServedApp]:
    with serving() as app:
        yield app


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def open_stream(reader: socket.socket) -> None:
    """Ask for the stream, and read until it runs."""
    reader.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    until(reader, b"first\n")
