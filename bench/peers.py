"""The servers that are measured, each a few lines that say how it is started and how it is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import msgspec

from bench.errors import StartError
from bench.load import Ask
from bench.redis_server import Redis

_FOREIGN = ("TAILRACE_", "OPENAI_", "ANTHROPIC_", "OLLAMA_", "STRIPE_", "PORT")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server runs: an empty folder of its own, the port to listen on, the upstream's port."""

    folder: Path
    port: int
    upstream_port: int


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """The command that starts a server in the foreground, and its environment."""

    command: list[str]
    environment: Mapping[str, str]


class Peer(ABC):
    """A kind of server. One without a process answers None to `prepare`: the load then goes to the upstream itself.

    `prepare` writes what the server needs into the place's folder, and starts nothing. The server is ready when
    `ready_path` answers 200 to a GET; it ends on SIGTERM. `ask` is the request whose answer is the script `model`.
    """

    name: ClassVar[str]
    ready_path: ClassVar[str] = "/readyz"

    @abstractmethod
    def prepare(self, place: Place) -> Launch | None:
        """Write the server's files and tell how to start it; raises `StartError` where it isn't installed."""

    @abstractmethod
    def ask(self, model: str, port: int) -> Ask:
        """The request for one answer by the script `model`."""

    def version(self) -> str | None:
        """The version of a server that isn't a Python package; None where there is nothing to tell."""
        return None


class _OpenAIPeer(Peer):
    """A server that passes OpenAI's own request on."""

    def ask(self, model: str, port: int) -> Ask:
        question = {
            "model": model,
            "messages": [{"role": "user", "content": "Count."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return Ask(port=port, path="/v1/chat/completions", body=msgspec.json.encode(question))


class Direct(_OpenAIPeer):
    """No server at all: the delay of the upstream and the load themselves."""

    name = "direct"

    def prepare(self, place: Place) -> Launch | None:
        return None


class Nginx(_OpenAIPeer):
    """The floor: nginx passing the stream through, one worker, nothing buffered, nothing logged."""

    name = "nginx"

    def prepare(self, place: Place) -> Launch | None:
        config = place.folder / "nginx.conf"
        config.write_text(_write_nginx_config(place))
        command = [_find_nginx(), "-p", str(place.folder), "-c", str(config), "-e", "stderr"]
        return Launch(command=command, environment=_clean_environment())

    def version(self) -> str | None:
        words = subprocess.run([_find_nginx(), "-v"], capture_output=True, text=True, check=True, timeout=10).stderr
        return words.rpartition("/")[2].strip()


class Tailrace(Peer):
    """tailrace as `tailrace serve` starts it, with nothing set but the upstream and the data folder."""

    name = "tailrace"

    def prepare(self, place: Place) -> Launch | None:
        environment = _clean_environment() | {
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{place.upstream_port}/v1",
            "TAILRACE_DATA_DIR": str(place.folder / "data"),
        }
        command = [sys.executable, "-m", "tailrace", "serve", "--port", str(place.port)]
        return Launch(command=command, environment=environment)

    def ask(self, model: str, port: int) -> Ask:
        question = {"message": "Count.", "model": f"openai/{model}"}
        return Ask(port=port, path="/v1/chat/stream", body=msgspec.json.encode(question))


class SharedTailrace(Tailrace):
    """tailrace as one of several: its streams are kept in Redis, its ledger in a folder that others may use as well."""

    name = "tailrace-redis"

    def __init__(self, redis: Redis, *, data: Path | None = None, workers: int = 1) -> None:
        self._redis = redis
        self._data = data
        self._workers = workers

    def prepare(self, place: Place) -> Launch | None:
        launch = super().prepare(place)
        assert launch is not None
        shared = {"TAILRACE_REDIS_URL": self._redis.url, "TAILRACE_WORKERS": str(self._workers)}
        if self._data is not None:
            shared["TAILRACE_DATA_DIR"] = str(self._data)
        return Launch(command=launch.command, environment={**launch.environment, **shared})


FLOOR = Nginx()
PEERS: tuple[Peer, ...] = (FLOOR, Tailrace(), Direct())


def _find_nginx() -> str:
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise StartError("nginx isn't on the PATH, and every figure is a ratio to it: apt-get install nginx")
    return path


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def _write_nginx_config(place: Place) -> str:
    # A master started by root hands its worker to nobody, who may not enter the folder; others warn about the line.
    user = "user root;" if os.geteuid() == 0 else ""
    return _NGINX.format(user=user, port=place.port, upstream_port=place.upstream_port, folder=place.folder)


_NGINX = """\
{user}
daemon off;
pid {folder}/nginx.pid;
worker_processes 1;
worker_rlimit_nofile 16384;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 10000000;
    upstream model {{
        server 127.0.0.1:{upstream_port};
        keepalive 4096;
        keepalive_requests 10000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /readyz {{ return 200; }}
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 120s;
        }}
    }}
}}
"""
