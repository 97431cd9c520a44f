"""Starts the small app of `served.py` behind our server, and speaks HTTP to it by hand."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

DEADLINE_S: Final = 20.0

_APP: Final = Path(__file__).parent / "served.py"


class ServedApp:
    """The running process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read_lines, daemon=True).start()
        assert self.line() == "lifespan.startup"
        self.url = self.line()
        self.port = int(self.url.rpartition(":")[2])

    def line(self) -> str:
        """The next line that it printed."""
        return self._lines.get(timeout=DEADLINE_S)

    def connect(self) -> socket.socket:
        """A new connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)

    def get(self, path: str) -> tuple[int, Any]:
        """Ask for `path` over a connection of its own: the status and the JSON."""
        status, body = self.exchange(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return status, json.loads(body)

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send these bytes and read to the end: the first answer's status, and all after its headers."""
        with self.connect() as connection:
            connection.sendall(request)
            return parse(read_all(connection))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def memory(self) -> int:
        """How much memory it has in use, in bytes."""
        return psutil.Process(self._process.pid).memory_info().rss

    def wait(self) -> int:
        """Wait for its end: the exit status, negative where a signal ended it."""
        return self._process.wait(DEADLINE_S)

    def log(self) -> str:
        """All that it wrote to stderr, once it has ended."""
        assert self._process.stderr is not None
        return self._process.stderr.read()

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))


@contextmanager
def serving(**options: Any) -> Iterator[ServedApp]:
    """Run the app with these options, and end it."""
    process = subprocess.Popen(
        [sys.executable, str(_APP), json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    try:
        yield ServedApp(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def read_all(connection: socket.socket) -> bytes:
    """All that comes until the other side has closed."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the other side has closed or reset."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def parse(answer: bytes) -> tuple[int, bytes]:
    """An answer's status and what follows its headers; status 0 where nothing came."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split(b" ")[1]) if head else 0), body


def until(connection: socket.socket, mark: bytes) -> bytes:
    """Read until `mark` has come."""
    received = b""
    deadline = time.monotonic() + DEADLINE_S
    while mark not in received and time.monotonic() < deadline:
        received += connection.recv(65536)
    return received
