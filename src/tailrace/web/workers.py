"""Several processes that serve one address: started together, stopped together, and each replaced when it dies.

Where the system spreads connections over listeners of one port (Linux), each worker has its own, and its successor
takes it over with whatever waits in it; elsewhere all accept from one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

import structlog

from tailrace.errors import SettingsError
from tailrace.settings import Settings
from tailrace.web import logs
from tailrace.web.listeners import bind

_REFUSED: Final = 2
_FORCED: Final = 130
_SHORT_LIFE_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 30.0

_log = structlog.get_logger(__name__)
_spawn = multiprocessing.get_context("spawn")


class Workers:
    """The parent of all; it serves nothing itself. `announce` is called with the URL once all answer."""

    def __init__(self, settings: Settings, *, announce: Callable[[str], None]) -> None:
        # For good
        self._settings = settings
        self._announce = announce
        self._sockets = _bind_for(settings)
        self._workers = [_Worker(number, settings, sockets) for number, sockets in enumerate(self._sockets, 1)]
        # As signals come
        self._stopping = False
        self._signals: list[int] = []

    def run(self) -> int:
        """Serve until told to stop, and return the exit status. Raises SettingsError where a worker can't start."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)
        try:
            for worker in self._workers:
                worker.start()
            if self._wait_until_all_answer():
                self._supervise()
            while any(worker.lives for worker in self._workers):
                self._listen()
            return max(worker.status for worker in self._workers)
        finally:
            for worker in self._workers:
                worker.kill()
            for listener in {listener for sockets in self._sockets for listener in sockets}:
                listener.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _pass_signals_on(self) -> None:
        """A terminal's Ctrl-C reaches the workers by itself; what only we were told, they are told by us."""
        while self._signals:
            number = self._signals.pop(0)
            forced = self._stopping and number == signal.SIGINT
            self._stopping = True
            for worker in self._workers:
                worker.signal(signal.SIGINT if forced else signal.SIGTERM)

    def _wait_until_all_answer(self) -> bool:
        """Whether they do; False where we were told to stop before."""
        while not self._stopping and not all(worker.url for worker in self._workers):
            self._listen()
            for worker in self._workers:
                if worker.refusal is not None:
                    self._stop_all()
                    raise worker.refusal
                if not worker.lives:
                    self._stop_all()
                    raise SettingsError("a worker ended before it could serve; its log says why", where="--workers")
        if not self._stopping:
            self._announce(self._workers[0].url)
        return not self._stopping

    def _supervise(self) -> None:
        while not self._stopping:
            self._listen()
            for worker in self._workers:
                if not self._stopping and not worker.lives:
                    worker.replace()

    def _listen(self) -> None:
        """Take what the workers say, for a moment at most."""
        for channel in wait([worker.channel for worker in self._workers if worker.channel is not None], timeout=0.1):
            for worker in self._workers:
                if worker.channel is channel:
                    worker.hear()
        self._pass_signals_on()

    def _stop_all(self) -> None:
        self._stopping = True
        for worker in self._workers:
            worker.signal(signal.SIGTERM)


class _Worker:
    """One worker and its successors. `url` is set once it answers, `refusal` where it does not start for a setting."""

    def __init__(self, number: int, settings: Settings, sockets: Sequence[socket.socket]) -> None:
        # For good
        self._number = number
        self._settings = settings
        self._sockets = sockets
        # For the process that runs
        self._process: SpawnProcess | None = None
        self.channel: Connection | None = None
        self.url = ""
        self.refusal: SettingsError | None = None
        self._started = 0.0
        # Over several
        self._failures = 0
        self._not_before = 0.0

    def start(self) -> None:
        """Start it; it ends by itself when we do, since its end of the pipe closes with ours."""
        self.channel, theirs = _spawn.Pipe()
        self._process = _spawn.Process(
            target=_serve, args=(self._settings, list(self._sockets), theirs), name=f"tailrace-worker-{self._number}"
        )
        self._started = time.monotonic()
        self._process.start()
        theirs.close()

    @property
    def lives(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.is_alive()

    def hear(self) -> None:
        """Take what it says: its URL, or why it does not start."""
        if self.channel is None:
            return
        try:
            said: tuple[str, str, str] = self.channel.recv()
        except (EOFError, OSError):
            self.channel.close()
            self.channel = None
            return
        if said[0] == "url":
            self.url = said[1]
        else:
            self.refusal = SettingsError(said[1], where=said[2])

    def replace(self) -> None:
        """Start its successor: at once, but after a pause that grows where they keep dying young."""
        now = time.monotonic()
        if self._process is not None:
            _log.error("worker_died", worker=self._number, status=self._process.exitcode)
            self._failures = self._failures + 1 if now - self._started < _SHORT_LIFE_S else 0
            self._not_before = now + (min(_LONGEST_PAUSE_S, 2.0 ** (self._failures - 1)) if self._failures else 0)
            self._process = None
        if now >= self._not_before:
            self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self._process is not None and self._process.pid is not None and self._process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    @property
    def status(self) -> int:
        """The exit status; 0 where it was told to stop before it could serve."""
        code = 0 if self._process is None else self._process.exitcode
        return 0 if code in (None, -signal.SIGTERM, -signal.SIGINT) else abs(code)

    def kill(self) -> None:
        """End it, if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self.channel is not None:
            self.channel.close()


def _bind_for(settings: Settings) -> list[list[socket.socket]]:
    """The listeners of each worker. Raises SettingsError."""
    server = settings.server
    if not sys.platform.startswith("linux"):
        return [bind(server.host, server.port)] * server.workers
    first = bind(server.host, server.port, shared=True)
    port: int = first[0].getsockname()[1]
    return [first, *(bind(server.host, port, shared=True) for _ in range(server.workers - 1))]


def _serve(settings: Settings, sockets: list[socket.socket], channel: Connection) -> None:
    """The life of one worker, in a process of its own."""
    from tailrace.web.app import create_app
    from tailrace.web.server import Server

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    logs.configure(settings.server.log_level)
    threading.Thread(target=_outlive_nobody, args=(channel,), daemon=True).start()
    try:
        server = Server(create_app(settings), settings, announce=lambda url: channel.send(("url", url, "")))
        server.run(sockets)
    except SettingsError as error:
        channel.send(("refused", error.message, error.where))
        sys.exit(_REFUSED)
    sys.exit(_FORCED if server.force_exit else 0)


def _outlive_nobody(channel: Connection) -> None:
    """Stop in good order once the parent is gone, whatever way it went."""
    with contextlib.suppress(EOFError, OSError):
        channel.recv()
    os.kill(os.getpid(), signal.SIGTERM)
