"""A real nginx in front of servers, on an ephemeral port, with the directives that a test gives it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.upstream import DEADLINE_S

_CONFIG: Final = """\
{user}
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream servers {{
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://servers;
            proxy_set_header Host $host;
            {directives}
        }}
    }}
}}
"""


@asynccontextmanager
async def nginx(*urls: str, directives: str = "") -> AsyncIterator[str]:
    """The URL of an nginx that passes requests on to these servers; `directives` stand in its location."""
    with tempfile.TemporaryDirectory(prefix="tailrace-nginx-") as folder:
        port = free_port()
        async with running_nginx(folder, _write_config(folder, port, urls, directives), port):
            yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def running_nginx(folder: str, config: Path, port: int) -> AsyncIterator[None]:
    """An nginx with this configuration, which listens on this port once it is there, and stays in the foreground."""
    process = await asyncio.create_subprocess_exec(
        *(find_nginx(), "-p", folder, "-c", str(config), "-e", "stderr"), stderr=asyncio.subprocess.PIPE
    )
    try:
        await _listens(process, port)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def find_nginx() -> str:
    """The program's path; an error where it is not installed."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    assert found is not None, "nginx is not installed: make test installs it, or names it"
    return found


def _write_config(folder: str, port: int, urls: Sequence[str], directives: str) -> Path:
    # Started by root it would work as nobody, who may not enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    servers = "\n".join(f"server {urlsplit(url).netloc};" for url in urls)
    text = _CONFIG.format(user=user, folder=folder, port=port, servers=servers, directives=directives)
    config = Path(folder, "nginx.conf")
    config.write_text(text, "utf-8")
    return config


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def _listens(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                assert process.returncode is None, (await process.communicate())[1].decode()
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
