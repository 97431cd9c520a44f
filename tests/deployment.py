"""The files of `deploy/` as a machine of tests needs them: other ports, other paths, and nothing else."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import trustme
import yaml  # type: ignore[import-untyped]
from tests.nginx import free_port, running_nginx

DEPLOY: Final = Path(__file__).parents[1] / "deploy"

_TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@asynccontextmanager
async def deployed_nginx(authority: trustme.CA, *urls: str) -> AsyncIterator[str]:
    """The https URL of an nginx with `deploy/nginx.conf` in front of these servers."""
    with tempfile.TemporaryDirectory(prefix="tailrace-deploy-") as folder:
        port = free_port()
        config = write_nginx_config(Path(folder), authority, urls, plain=free_port(), tls=port)
        async with running_nginx(folder, config, port):
            yield f"https://127.0.0.1:{port}"


def write_nginx_config(folder: Path, authority: trustme.CA, urls: tuple[str, ...], *, plain: int, tls: int) -> Path:
    """The configuration with what a test must change; it fails where a line to be changed is not there as expected."""
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(folder / "tls.key")
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(folder / "tls.crt", append=True)
    servers = "".join(f"server {urlsplit(url).netloc} max_fails=0;" for url in urls)
    # Started by root it would work as nobody, who may not enter the folder
    user = "user root; " if os.geteuid() == 0 else ""
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in _TEMPORARY)
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    for pattern, replacement in {
        r"^worker_processes auto;": f"{user}daemon off; master_process off; worker_processes 1;",
        r"^worker_rlimit_nofile .*$": "",
        r"worker_connections 32768;": "worker_connections 512;",
        r"/run/nginx\.pid": f"{folder}/nginx.pid",
        r"access_log /dev/stdout paths;": f"access_log {folder}/access.log paths; {temporary}",
        r"error_log /dev/stderr warn;": "error_log stderr warn;",
        r"server tailrace:8000 max_fails=0;": servers,
        r"listen 80;": f"listen 127.0.0.1:{plain};",
        r"listen 443 ssl http2;": f"listen 127.0.0.1:{tls} ssl http2;",
        r"listen \[::\]:80;": "",
        r"listen \[::\]:443 ssl http2;": "",
        r"/etc/nginx/tls/tls\.crt": f"{folder}/tls.crt",
        r"/etc/nginx/tls/tls\.key": f"{folder}/tls.key",
    }.items():
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count == 1, f"deploy/nginx.conf has {pattern!r} {count} times"
    config = folder / "nginx.conf"
    config.write_text(text, "utf-8")
    return config


def read_compose() -> Mapping[str, Any]:
    """`deploy/compose.yaml`."""
    found: Mapping[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return found
