"""A real PostgreSQL for the tests: on an ephemeral port, in a folder of its own, as a user without privileges."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg  # type: ignore[import-untyped]
import pytest

USER: Final = "tailrace"

_DEADLINE_S: Final = 30.0
_QUICK: Final = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "80",
    "logging_collector": "off",
}


class PostgresServer:
    """A cluster that can be stopped and started again. `folder` is deleted by whoever made it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._log = folder / "log"
        self._user = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        self._made: set[str] = set()
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.port = _free_port()

    def url(self, database: str) -> str:
        """Where a database of this server is."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = [f"--{name}={value}" for name, value in _QUICK.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self._data, "-p", str(self.port), "-k", self._folder, *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        deadline = time.monotonic() + _DEADLINE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start:\n{self._log.read_text('utf-8', 'replace')}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_DEADLINE_S)
            self._process = None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    def has(self, database: str) -> bool:
        """Whether a database was made here."""
        return database in self._made

    async def create(self, database: str, *, template: str = "template1") -> None:
        """Make a database."""
        await self.execute("postgres", f"CREATE DATABASE {database} TEMPLATE {template}")
        self._made.add(database)

    async def execute(self, database: str, sql: str) -> None:
        """Run a statement in a database."""
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def _answers(self) -> bool:
        asked = [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [_program(program), *arguments]
        done = subprocess.run(command, user=self._user, cwd=self._folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests; whoever stops it starts it again."""
    folder = Path(tempfile.mkdtemp(prefix="tailrace-postgres-"))
    try:
        server = PostgresServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    """The path of one of PostgreSQL's programs; Debian keeps them out of PATH, a folder for each version."""
    found = shutil.which(name) or max(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), default=None)
    assert found, f"PostgreSQL's {name} is not installed: run `make test`, or install the package postgresql"
    return found


def _unprivileged() -> str | None:
    """Whom to be, since PostgreSQL refuses to run as root; None for whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
