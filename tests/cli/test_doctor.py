"""`tailrace doctor URL` behind real proxies that do what proxies do, and what it makes of what it measured."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.conftest import environment
from tests.nginx import nginx
from tests.server import running_server

from tailrace.cli.diagnosis import diagnose, name_proxy
from tailrace.cli.probing import DELAY_MS, TOKENS, Arrival, Measured, Paced, Silent

COMPRESSES = "gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0;"
# To a quick reader nginx passes on at once even what it may buffer; its compressor then waits for more.
BUFFERS = f"proxy_ignore_headers X-Accel-Buffering; {COMPRESSES}"
CUTS = "proxy_read_timeout 2s;"

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-store, no-transform",
    "x-accel-buffering": "no",
}
STEADY = tuple(Arrival(at=place * DELAY_MS / 1000, tokens=1) for place in range(TOKENS))
PACED = Paced(status=200, headers=HEADERS, http_version="HTTP/1.1", arrivals=STEADY, whole=True)
SILENT = Silent(asked_s=20, lasted_s=20.1, whole=True, status=200)
MEASURED = Measured(url="http://x", health='{"status":"ok"}', paced=PACED, silent=SILENT)


async def doctor(folder: Path, *arguments: str) -> tuple[int | None, str, str]:
    """Run it: status, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tailrace", "doctor", *arguments),
        cwd=folder,
        env=environment(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("directives", "status", "told", "mend"),
    [
        ("", 0, "tokens come as they are sent", ""),
        (BUFFERS, 1, "held back on the way", "in nginx: proxy_buffering off;"),
        (COMPRESSES, 1, "compressed on the way (gzip)", "in nginx: gzip off;"),
        (CUTS, 1, "a silent stream was answered with 504 after 2.0 s", "in nginx: proxy_read_timeout 1h;"),
    ],
    ids=["good", "buffers", "compresses", "cuts"],
)
async def test_a_real_nginx_is_found_out(folder: Path, directives: str, status: int, told: str, mend: str) -> None:
    """What nginx does to streams is told, with the directive that mends it; the exit status says it too."""
    async with running_server() as server, nginx(server.url, directives=directives) as url:
        ran, out, err = await doctor(folder, url, "--silence", "4")
    assert err.count("\n") == 1, err
    assert told in out.replace("2.1 s", "2.0 s")
    assert mend in out
    assert ran == status
    assert "through nginx" in out


async def test_what_is_no_tailrace_is_told(folder: Path) -> None:
    """An address where something else answers, and one where nothing does."""
    async with running_server() as server:
        ran, out, _ = await doctor(folder, f"{server.url}/docs", "--silence", "1")
    assert (ran, "no tailrace answers" in out) == (1, True)
    ran, out, err = await doctor(folder, "http://127.0.0.1:9")
    assert (ran, out) == (1, "")
    assert "does not answer" in err


async def test_a_wrong_key_is_told(folder: Path) -> None:
    """The stream's refusal is shown with its status."""
    async with running_server(env={"TAILRACE_ADMIN_KEY": "tr_admin_" + "a" * 43}) as server:
        ran, out, _ = await doctor(folder, server.url, "--key", "tr_wrong", "--silence", "1")
    assert (ran, "refused with 401" in out) == (1, True)


def bad(**changed: Any) -> list[str]:
    """The faults that are found once this is changed in what was measured on a good way."""
    paced = msgspec.structs.replace(PACED, **{name: changed[name] for name in changed if name != "silent"})
    measured = msgspec.structs.replace(MEASURED, paced=paced, silent=changed.get("silent", SILENT))
    return [finding.text for finding in diagnose(measured) if finding.verdict == "bad"]


def test_a_good_way_has_no_faults() -> None:
    """Steady arrivals, no coding, a silence survived."""
    assert bad() == []


@pytest.mark.parametrize("lump", [5, 20, TOKENS])
def test_lumps_are_buffering(lump: int) -> None:
    """Tokens that come several at once were held back, however long it took in all."""
    arrivals = tuple(Arrival(at=last * DELAY_MS / 1000, tokens=lump) for last in range(lump - 1, TOKENS, lump))
    (text,) = bad(arrivals=arrivals)
    assert "held back" in text


def test_a_few_tokens_at_once_are_no_buffering() -> None:
    """A busy network may join two or three."""
    arrivals = tuple(Arrival(at=place * 3 * DELAY_MS / 1000, tokens=3) for place in range(TOKENS // 3))
    assert bad(arrivals=arrivals) == []


def test_other_faults_are_told_apart() -> None:
    """A wrong type, a stream that breaks off, silences that are cut or refused."""
    assert "text/plain" in bad(headers={**HEADERS, "content-type": "text/plain"})[0]
    assert "broke off after 10" in bad(arrivals=STEADY[:10], whole=False)[0]
    cut = Silent(asked_s=20, lasted_s=9.9, whole=False, status=None, detail="reset")
    assert "cut after 9.9 s of 20 s: reset" in bad(silent=cut)[0]
    assert "refused with 429" in bad(silent=msgspec.structs.replace(cut, status=429))[0]


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"server": "nginx/1.22.1"}, "nginx"),
        ({"server": "cloudflare", "cf-ray": "1"}, "Cloudflare"),
        ({"via": "1.1 Caddy"}, "Caddy"),
        ({"x-envoy-upstream-service-time": "3"}, "Envoy"),
        ({"server": "uvicorn"}, None),
        ({}, None),
    ],
)
def test_proxies_are_known_by_their_headers(headers: dict[str, str], name: str | None) -> None:
    """The marks that common proxies leave."""
    assert name_proxy(headers) == name
